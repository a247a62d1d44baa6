// Command sigstore-made signs images as a keyless Sigstore would, with an authority and a log that live as long as it:
// cosign can then be asked about identities without the public Sigstore.
//
//	sigstore-made FOLDER NAME DIGEST IDENTITY ISSUER [NAME DIGEST IDENTITY ISSUER ...]
//
// writes FOLDER/trusted_root.json and for each signature FOLDER/NAME.json, a bundle as `cosign sign` attaches it. The
// certificates hold no proof of a certificate log (SCT): verify with --insecure-ignore-sct.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

var version = "unset" // filled in by the linker

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("sigstore-made", version)
		return
	}
	if len(os.Args) < 6 || len(os.Args)%4 != 2 {
		fmt.Fprintln(os.Stderr, "usage: sigstore-made FOLDER NAME DIGEST IDENTITY ISSUER ...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "sigstore-made:", err)
		os.Exit(1)
	}
}

func run(folder string, signatures []string) error {
	sigstore, err := ca.NewVirtualSigstore()
	if err != nil {
		return err
	}
	logs := sigstore.RekorLogs()
	for id, log := range logs { // it gives the digits where the root wants the bytes
		if log.ID, err = hex.DecodeString(id); err != nil {
			return err
		}
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, sigstore.FulcioCertificateAuthorities(),
		sigstore.CTLogs(), sigstore.TimestampingAuthorities(), logs)
	if err != nil {
		return err
	}
	content, err := trusted.MarshalJSON()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "trusted_root.json"), content, 0o644); err != nil {
		return err
	}
	for ; len(signatures) >= 4; signatures = signatures[4:] {
		name, digest, identity, issuer := signatures[0], signatures[1], signatures[2], signatures[3]
		content, err := signed(sigstore, digest, identity, issuer)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+".json"), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func signed(sigstore *ca.VirtualSigstore, digest, identity, issuer string) ([]byte, error) {
	statement, err := json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"digest": map[string]string{"sha256": digest}}},
		"predicateType": "https://sigstore.dev/cosign/sign/v1",
		"predicate":     map[string]any{},
	})
	if err != nil {
		return nil, err
	}
	entity, err := sigstore.AttestAtTime(identity, issuer, statement, time.Now().Add(time.Minute), true)
	if err != nil {
		return nil, err
	}
	material, err := materialOf(sigstore, entity)
	if err != nil {
		return nil, err
	}
	content, err := entity.SignatureContent()
	if err != nil {
		return nil, err
	}
	envelope := content.EnvelopeContent().RawEnvelope()
	signature, err := base64.StdEncoding.DecodeString(envelope.Signatures[0].Sig)
	if err != nil {
		return nil, err
	}
	return protojson.Marshal(&protobundle.Bundle{
		MediaType:            "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload:     statement,
			PayloadType: envelope.PayloadType,
			Signatures:  []*protodsse.Signature{{Sig: signature}},
		}},
	})
}

func materialOf(sigstore *ca.VirtualSigstore, entity verify.SignedEntity) (*protobundle.VerificationMaterial, error) {
	shown, err := entity.VerificationContent()
	if err != nil {
		return nil, err
	}
	entries, err := entity.TlogEntries()
	if err != nil {
		return nil, err
	}
	logged := make([]*protorekor.TransparencyLogEntry, len(entries))
	for number, entry := range entries {
		logged[number] = entry.TransparencyLogEntry()
		logged[number].KindVersion = &protorekor.KindVersion{Kind: "dsse", Version: "0.0.1"}
		// The log's promise, which alone vouches for the time; the entry keeps its own to itself.
		promise, err := sigstore.RekorSignPayload(tlog.RekorPayload{
			Body:           base64.StdEncoding.EncodeToString(logged[number].CanonicalizedBody),
			IntegratedTime: logged[number].IntegratedTime,
			LogIndex:       logged[number].LogIndex,
			LogID:          hex.EncodeToString(logged[number].LogId.KeyId),
		})
		if err != nil {
			return nil, err
		}
		logged[number].InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: promise}
	}
	return &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{
			Certificate: &protocommon.X509Certificate{RawBytes: shown.Certificate().Raw},
		},
		TlogEntries: logged,
	}, nil
}
