module pytest-deploy/toolchain/sbom

go 1.26.0
