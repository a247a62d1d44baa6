"""Images built by the real buildx and BuildKit, pushed into the real registry."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.adapters.registry import Registry
from pytest_deploy.domain.release import Digest, ImageRef
from pytest_deploy.errors import DeployError, Refused, ToolFailed, Unreachable
from pytest_deploy.io.clock import SystemClock
from tests.e2e.supply_chain.conftest import Bench, Script

pytestmark = pytest.mark.real


def test_the_digest_is_the_one_that_the_registry_holds(bench: Bench) -> None:
    """What build returns is the index under the tag of the commit, with provenance and SBOM in it."""
    folder = bench.rig.source("held")
    digest = bench.build(folder).partition("@")[2]
    tag = f"sha-{bench.rig.commit(folder)[:7]}"
    status, headers, _ = bench.rig.ask("HEAD", f"{bench.name}/manifests/{tag}")
    assert (status, headers["docker-content-digest"]) == (200, digest)
    image, attested = bench.rig.manifest(bench.name, digest)["manifests"]
    assert attested["annotations"]["vnd.docker.reference.digest"] == image["digest"]
    layers = bench.rig.manifest(bench.name, attested["digest"])["layers"]
    types = {layer["annotations"]["in-toto.io/predicate-type"] for layer in layers}
    assert types == {"https://slsa.dev/provenance/v1", "https://spdx.dev/Document"}


def test_labels_name_commit_and_source_without_the_token_in_its_address(bench: Bench) -> None:
    """The labels are those of the OCI specification; a token in git's origin does not get into them."""
    folder = bench.rig.source("labelled")
    digest = bench.build(folder).partition("@")[2]
    image = bench.rig.manifest(bench.name, digest)["manifests"][0]["digest"]
    config = bench.rig.manifest(bench.name, image)["config"]["digest"]
    _, _, body = bench.rig.ask("GET", f"{bench.name}/blobs/{config}")
    assert f'"org.opencontainers.image.revision":"{bench.rig.commit(folder)}"' in body.decode()
    assert '"org.opencontainers.image.source":"https://git.example.com/acme/labelled.git"' in body.decode()
    assert b"planted-token" not in body


def test_a_dirty_tree_is_refused_and_nothing_is_pushed(bench: Bench) -> None:
    """Files that are not committed are named, with the way out; the registry has heard of nothing."""
    with pytest.raises(Refused, match=r"1 files differ from commit \w{12}: status; (?s:.*)git commit"):
        bench.build(bench.rig.source("dirty", dirty=True))
    assert bench.rig.ask("GET", f"{bench.name}/tags/list")[0] == 404


def test_a_dirty_tree_that_is_allowed_says_so_in_its_tag(bench: Bench) -> None:
    """With allow_dirty the image is built, and nobody can take it for that of the commit."""
    folder = bench.rig.source("allowed", dirty=True)
    bench.build(folder, allow_dirty=True)
    assert bench.rig.ask("HEAD", f"{bench.name}/manifests/sha-{bench.rig.commit(folder)[:7]}-dirty")[0] == 200


def test_a_build_that_fails_shows_why_with_its_log(bench: Bench) -> None:
    """The last lines of BuildKit are in the message, all of them are attached."""
    folder = bench.rig.source("broken")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY absent /\n")
    with pytest.raises(ToolFailed, match=r"absent.*not found") as failed:
        bench.build(folder, allow_dirty=True)
    assert [each.name for each in failed.value.attachments] == ["docker buildx build"]
    assert "COPY absent" in failed.value.attachments[0].text


def test_an_image_given_by_digest_is_not_built_again(bench: Bench) -> None:
    """It is looked for in the registry; one that is not there is refused before anything is deployed."""
    digest = Digest(bench.build().partition("@")[2])
    elsewhere = bench.buildx(bench.rig.folder / "no-source")
    assert elsewhere.build(ImageRef(repository=bench.repository, digest=digest)) == digest
    absent = ImageRef(repository=bench.repository, digest=Digest(f"sha256:{'0' * 64}"))
    with pytest.raises(Refused, match=rf"the registry has no {absent.pinned}"):
        elsewhere.build(absent)


def test_a_tag_that_somebody_else_moves_is_noticed(bench: Bench) -> None:
    """Between push and look-up another job pushes the same tag: the build is not taken for that image."""
    registry = Registry(clock=SystemClock())

    def moved(tagged: ImageRef) -> Digest | None:
        digest = registry.digest(tagged)
        bench.rig.put_manifest(bench.name, tagged.tag or "", {**bench.rig.manifest(bench.name, digest or ""),
                                                              "annotations": {"by": "another"}})  # fmt: skip
        return registry.digest(tagged)

    with pytest.raises(DeployError, match=r"but the registry holds sha256:.* under that tag"):
        bench.build(digest_of=moved)


def test_a_registry_that_is_down_is_no_image(bench: Bench) -> None:
    """Nothing listens there: the build fails with the registry's address, and so does the look-up."""
    image = ImageRef(repository="127.0.0.1:1/app", tag="sha-1")
    with pytest.raises(ToolFailed, match=r"127\.0\.0\.1:1"):
        bench.buildx(bench.rig.source("nowhere")).build(image)
    with pytest.raises(Unreachable):
        Registry(clock=SystemClock(), timeout=timedelta(seconds=1)).digest(image)


def test_the_build_sees_no_deploy_credentials(
    bench: Bench, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of our environment the build sees a list of names; kubeconfig and tokens are not on it."""
    for name in (
        "KUBECONFIG",
        "GH_TOKEN",
        "COSIGN_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    ):
        monkeypatch.setenv(name, "planted-secret")
    spy = script("buildx", f'env > {tmp_path}/seen\nexec {bench.rig.programs["buildx"]} "$@"')
    bench.build(program=(spy,))
    seen = (tmp_path / "seen").read_text()
    assert "BUILDX_BUILDER=rig" in seen
    assert "planted-secret" not in seen
