module pytest-deploy/toolchain/pod

go 1.24
