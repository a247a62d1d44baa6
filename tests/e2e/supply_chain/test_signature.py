"""Signatures by the real cosign, and every way known to us in which one can be wrong."""

from __future__ import annotations

import json

import pytest

from pytest_deploy.domain.release import ImageRef
from pytest_deploy.errors import Faulted, GateBreach, Refused, ToolFailed, Unreachable
from pytest_deploy.io.cosign import Cosign, Trust
from tests.e2e.supply_chain.conftest import Bench, Keys, Script

pytestmark = pytest.mark.real


def test_what_our_build_signed_is_verified_with_provenance_and_sbom(bench: Bench) -> None:
    """All three are for the digest that was built, the signature names the commit, and a stranger was refused."""
    folder = bench.rig.source("good")
    commit = bench.rig.commit(folder)
    pinned = bench.build(folder)
    signer = bench.signer(commit=commit)
    signer.sign(pinned)
    found = signer.verify(pinned)
    assert f"for commit {commit[:12]}" in found.words
    assert "SBOM of 1 package; a stranger's key was refused" in found.words
    assert "without a transparency log" in found.words
    names = [each.name.partition(" of ")[0] for each in found.attachments]
    assert names == ["cosign verify", "provenance", "SBOM"]
    assert json.loads(found.attachments[2].text)["predicate"]["packages"][0]["name"] == "good"


def test_an_unsigned_image_is_refused(bench: Bench) -> None:
    """Nobody has signed it: the answer is no, with the way out."""
    with pytest.raises(GateBreach, match=r"not signed by key sha256:\w{12}(?s:.*)no signatures found(?s:.*)next:"):
        bench.signer().verify(bench.build())


def test_an_image_signed_by_somebody_else_is_refused(bench: Bench, theirs: Keys) -> None:
    """A good signature of a wrong key is none."""
    pinned = bench.build()
    bench.signer(theirs).sign(pinned)
    with pytest.raises(GateBreach, match="not signed by key"):
        bench.signer().verify(pinned)


def test_a_signature_for_another_commit_is_refused(bench: Bench) -> None:
    """What is checked out here is not what was signed there."""
    pinned = bench.build()
    bench.signer(commit="a" * 40).sign(pinned)
    with pytest.raises(GateBreach, match=r"for commit bbbbbbbbbbbb(?s:.*)annotation"):
        bench.signer(commit="b" * 40).verify(pinned)


def test_a_provenance_of_another_commit_is_refused(bench: Bench) -> None:
    """The signature says the commit that is wanted, the builder built another one."""
    pinned = bench.build()
    signer = bench.signer(commit="a" * 40)
    signer.sign(pinned)
    with pytest.raises(GateBreach, match=r"built from commit .*, expected is aaaaaaaaaaaa"):
        signer.verify(pinned)


def test_what_a_moved_tag_points_to_is_not_signed(bench: Bench) -> None:
    """The signature stays with its digest; the image that the tag says a moment later has none."""
    first, second = bench.plain(), bench.plain()
    bench.signer(provenance=False, sbom=False).sign(first)
    assert bench.signer(provenance=False, sbom=False).verify(first)
    assert bench.rig.ask("HEAD", f"{bench.name}/manifests/plain")[1]["docker-content-digest"] in second
    with pytest.raises(GateBreach, match="not signed"):
        bench.signer().verify(second)


def test_a_copied_signature_is_refused(bench: Bench) -> None:
    """The signatures of a good image, put under the tag where those of another are looked for, prove nothing."""
    good, bad = bench.build(), bench.build()
    bench.signer().sign(good)
    tags = ["sha256-" + pinned.rpartition(":")[2] for pinned in (good, bad)]
    bench.rig.put_manifest(bench.name, tags[1], bench.rig.manifest(bench.name, tags[0]))
    with pytest.raises(GateBreach, match="not signed by key"):
        bench.signer().verify(bad)


def test_an_attestation_is_no_signature(bench: Bench) -> None:
    """To cosign whatever our key has said of an image is its signature, also "it failed"; not to us."""
    pinned = bench.build()
    predicate = bench.rig.folder / "failed.json"
    predicate.write_text('{"outcome": "failed"}')
    bench.cosign().make("attest", "--type", "urn:example:verdict", "--predicate", str(predicate), pinned)
    assert bench.cosign().verify("verify", bench.ours.trust, pinned), "cosign's own answer has changed: look again"
    with pytest.raises(GateBreach, match="no signature of the image, only something said about it"):
        bench.signer().verify(pinned)


def test_a_tampered_image_is_noticed(bench: Bench) -> None:
    """The registry's store is changed behind its back: what it sends has not the digest that was asked for."""
    pinned = bench.build()
    bench.signer().sign(pinned)
    index = bench.rig.manifest(bench.name, pinned.partition("@")[2])
    attested = bench.rig.manifest(bench.name, index["manifests"][1]["digest"])
    digest = attested["layers"][1]["digest"].partition(":")[2]
    blob = bench.rig.folder / "registry/docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"
    blob.write_bytes(blob.read_bytes().replace(b"buildType", b"buildtype"))
    with pytest.raises(Faulted, match=rf"sent sha256:\w+ for sha256:{digest}(?s:.*)do not deploy"):
        bench.signer().verify(pinned)


def test_an_attestation_of_another_image_in_the_index_is_refused(bench: Bench) -> None:
    """An index that claims another image's provenance for its own is signed, and still refused."""
    good, other = (bench.rig.manifest(bench.name, bench.build().partition("@")[2]) for _ in range(2))
    notes = {**good["manifests"][1]["annotations"], "vnd.docker.reference.digest": other["manifests"][0]["digest"]}
    forged = {**other, "manifests": [other["manifests"][0], {**good["manifests"][1], "annotations": notes}]}
    pinned = f"{bench.repository}@{bench.rig.put_manifest(bench.name, 'forged', forged)}"
    bench.signer().sign(pinned)
    with pytest.raises(GateBreach, match=r"it is about sha256:.*, not about sha256:"):
        bench.signer().verify(pinned)


@pytest.mark.parametrize("lacks", ["provenance", "sbom"])
def test_an_image_without_provenance_or_sbom_is_refused_where_they_are_wanted(bench: Bench, lacks: str) -> None:
    """Signed, but nobody knows how it was built, or what it holds; turned off, the words say so."""
    wanted = {"provenance": "true", "sbom": f"generator={bench.rig.scanner}"} | {lacks: "false"}
    pinned = bench.plain(*(f"--{name}={value}" for name, value in wanted.items()))
    bench.signer().sign(pinned)
    with pytest.raises(GateBreach, match=rf"there is none for sha256:(?s:.*)buildx build --{lacks}=true"):
        bench.signer().verify(pinned)
    assert f"sign.{lacks}: false" in bench.signer(**{lacks: False}).verify(pinned).words


def test_an_sbom_that_lists_nothing_is_refused(bench: Bench) -> None:
    """A generator that has seen nothing is no proof that nothing is there."""
    folder = bench.rig.source("empty")
    (folder / "var/lib/dpkg/status").write_text("")
    pinned = bench.build(folder, allow_dirty=True)
    bench.signer().sign(pinned)
    with pytest.raises(GateBreach, match="the SBOM lists no package"):
        bench.signer().verify(pinned)


def test_a_builder_that_is_not_expected_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In GitHub Actions the provenance names the run; one of another repository is not ours."""
    for name, value in (("RUN_ID", "7"), ("SERVER_URL", "https://github.com"), ("REPOSITORY", "acme/other")):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    pinned = bench.build()
    bench.signer().sign(pinned)
    with pytest.raises(GateBreach, match=r"built by https://github.com/acme/other/actions/runs/7/attempts/1, expected"):
        bench.signer(builder="https://github.com/acme/checkout-api/").verify(pinned)
    assert "built by https://github.com/acme/other/actions/runs/7" in bench.signer().verify(pinned).words


def test_an_attached_provenance_counts_where_the_index_has_none(bench: Bench) -> None:
    """An image built elsewhere, whose provenance and SBOM are attached and signed, is verified all the same."""
    pinned = bench.plain("--provenance=false")
    folder = bench.rig.folder
    provenance = {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {"ref": "refs/heads/main"}},
        },
        "runDetails": {"builder": {"id": "https://github.com/actions/runner/github-hosted"}},
    }
    sbom = {"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": [{"name": "a"}, {"name": "b"}]}
    bench.signer().sign(pinned)
    for kind, content in (("slsaprovenance1", provenance), ("spdxjson", sbom)):
        (folder / "predicate.json").write_text(json.dumps(content))
        bench.cosign().make("attest", "--type", kind, "--predicate", str(folder / "predicate.json"), pinned)
    words = bench.signer().verify(pinned).words
    assert "built by https://github.com/actions/runner/github-hosted; SBOM of 2 packages" in words


def test_a_verifier_that_says_yes_to_everybody_is_found_out(bench: Bench, script: Script) -> None:
    """Its yes to a key that was made a second ago is no answer, whatever it says of ours."""
    pinned = bench.build()
    digest = pinned.partition("@")[2]
    claim = [{"critical": {"type": "https://sigstore.dev/cosign/sign/v1", "image": {"docker-manifest-digest": digest}}}]
    yes = script(
        "cosign",
        f"case $1 in verify) echo '{json.dumps(claim)}';; *) exec {bench.rig.programs['cosign']} \"$@\";; esac",
    )
    with pytest.raises(ToolFailed, match="a key that was made a second ago: its yes means nothing"):
        bench.signer(cosign=Cosign(binary=yes, log=False)).verify(pinned)


def test_a_cosign_with_known_holes_is_refused(bench: Bench, script: Script) -> None:
    """Versions that could be talked into a yes are not asked."""
    old = script("cosign", """echo '{"gitVersion": "v3.0.5"}'""")
    with pytest.raises(Refused, match=r"is cosign 3\.0\.5: before 3\.0\.6"):
        bench.signer(cosign=Cosign(binary=old, log=False)).verify(f"{bench.repository}@sha256:{'0' * 64}")


def test_no_answer_is_no_verdict(bench: Bench) -> None:
    """A registry that is down neither clears nor condemns an image, and a missing key is told as such."""
    with pytest.raises(Unreachable, match="connection refused"):
        bench.signer().verify(f"127.0.0.1:1/app@sha256:{'0' * 64}")
    with pytest.raises(ToolFailed, match=r"no such file(?s:.*)sign\.public_key"):
        bench.signer(trust=Trust(key="/absent.pub", log=False)).verify(bench.build())


def test_a_signature_outside_the_log_is_refused_where_the_log_is_wanted(bench: Bench) -> None:
    """The trusted root is pinned, no network is needed to say no."""
    root = bench.rig.folder / "trusted_root.json"
    root.write_text(json.dumps({"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}))
    pinned = bench.build()
    bench.signer().sign(pinned)
    with pytest.raises(GateBreach, match="not signed by key"):
        bench.signer(trust=Trust(key=str(bench.ours.public), trusted_root=root)).verify(pinned)


def test_the_key_and_its_password_may_come_from_secrets(bench: Bench) -> None:
    """The key's text is given in the environment of cosign alone, never on a command line, and shown nowhere."""
    secret, folder, program = "open sesame", bench.rig.folder, bench.rig.programs["cosign"]
    bench.rig.run("cosign", "generate-key-pair", "--output-key-prefix", "locked", cwd=folder, COSIGN_PASSWORD=secret)
    text = (folder / "locked.key").read_text()
    trust = Trust(key=str(folder / "locked.pub"), log=False)
    pinned = bench.build()
    cosign = Cosign(binary=program, key=text, password=secret, log=False)
    bench.signer(cosign=cosign, trust=trust).sign(pinned)
    assert bench.signer(trust=trust).verify(pinned)
    assert secret not in repr(cosign)
    assert text.splitlines()[1] not in repr(cosign)
    with pytest.raises(ToolFailed, match=r"decrypt(?s:.*)sign\.password"):
        bench.signer(cosign=Cosign(binary=program, key=text, password=secret[:-1], log=False)).sign(pinned)


def test_an_image_by_tag_is_not_pinned() -> None:
    """A tag can move: nothing in this product signs or verifies by one, and "latest" is no reference at all."""
    with pytest.raises(ValueError, match="latest"):
        ImageRef.parse("registry.example.com/app:latest")
    with pytest.raises(ValueError, match="is not pinned"):
        _ = ImageRef.parse("registry.example.com/app:1.0").pinned
