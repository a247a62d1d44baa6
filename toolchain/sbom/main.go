// Command sbom-scanner lists what an image holds, as BuildKit asks its SBOM generators to do:
// https://github.com/moby/buildkit/blob/v0.34.2/docs/attestations/sbom-protocol.md
//
// It knows Debian's and Alpine's packages and the modules in Go binaries: enough for images that are made without
// a network. A user's builds run docker/buildkit-syft-scanner instead.
package main

import (
	"bufio"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

var version = "unset"

type pkg struct {
	kind, name, version string
}

func main() {
	if len(os.Args) > 1 {
		fmt.Println("sbom-scanner", version)
		return
	}
	if err := run(os.Getenv("BUILDKIT_SCAN_SOURCE"), os.Getenv("BUILDKIT_SCAN_SOURCE_EXTRAS"), os.Getenv("BUILDKIT_SCAN_DESTINATION")); err != nil {
		fmt.Fprintln(os.Stderr, "sbom-scanner:", err)
		os.Exit(1)
	}
}

func run(source, extras, destination string) error {
	if source == "" || destination == "" {
		return fmt.Errorf("BUILDKIT_SCAN_SOURCE and BUILDKIT_SCAN_DESTINATION must be set")
	}
	sources := []string{source}
	if extras != "" {
		entries, err := os.ReadDir(extras)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		for _, entry := range entries {
			sources = append(sources, filepath.Join(extras, entry.Name()))
		}
	}
	for _, root := range sources {
		packages, err := scan(root)
		if err != nil {
			return fmt.Errorf("%s: %w", root, err)
		}
		name := filepath.Base(root)
		content, err := json.Marshal(statement(name, packages))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(destination, name+".spdx.json"), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func scan(root string) ([]pkg, error) {
	found := map[pkg]bool{}
	for _, database := range []struct{ path, kind, name, version string }{
		{"var/lib/dpkg/status", "deb", "Package: ", "Version: "},
		{"lib/apk/db/installed", "apk", "P:", "V:"},
	} {
		if err := listed(filepath.Join(root, database.path), database.kind, database.name, database.version, found); err != nil {
			return nil, err
		}
	}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil || info.Mode()&0o111 == 0 {
			return err
		}
		build, err := buildinfo.ReadFile(path)
		if err != nil { // no Go program
			return nil
		}
		found[pkg{"golang", "stdlib", strings.TrimPrefix(build.GoVersion, "go")}] = true
		if build.Main.Path != "" {
			found[pkg{"golang", build.Main.Path, build.Main.Version}] = true
		}
		for _, module := range build.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			found[pkg{"golang", module.Path, module.Version}] = true
		}
		return nil
	})
	packages := make([]pkg, 0, len(found))
	for each := range found {
		packages = append(packages, each)
	}
	sort.Slice(packages, func(i, j int) bool { return fmt.Sprint(packages[i]) < fmt.Sprint(packages[j]) })
	return packages, err
}

// listed reads a database of paragraphs; its name always stands before its version.
func listed(path, kind, name, version string, found map[pkg]bool) error {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	current := ""
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name); ok {
			current = value
		}
		if value, ok := strings.CutPrefix(lines.Text(), version); ok && current != "" {
			found[pkg{kind, current, value}] = true
			current = ""
		}
	}
	return lines.Err()
}

// statement is what BuildKit takes: an in-toto statement without subject, which BuildKit sets to the image.
func statement(name string, packages []pkg) map[string]any {
	listed := []map[string]any{}
	describes := []string{}
	for number, each := range packages {
		id := fmt.Sprintf("SPDXRef-Package-%d", number+1)
		describes = append(describes, id)
		listed = append(listed, map[string]any{
			"SPDXID":           id,
			"name":             each.name,
			"versionInfo":      each.version,
			"downloadLocation": "NOASSERTION",
			"filesAnalyzed":    false,
			"externalRefs": []map[string]string{{
				"referenceCategory": "PACKAGE-MANAGER",
				"referenceType":     "purl",
				"referenceLocator":  "pkg:" + each.kind + "/" + each.name + "@" + each.version,
			}},
		})
	}
	return map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"predicateType": "https://spdx.dev/Document",
		"predicate": map[string]any{
			"spdxVersion":       "SPDX-2.3",
			"dataLicense":       "CC0-1.0",
			"SPDXID":            "SPDXRef-DOCUMENT",
			"name":              name,
			"documentNamespace": "urn:pytest-deploy:sbom:" + name,
			// No clock: the same image always gets the same SBOM.
			"creationInfo":      map[string]any{"created": "1970-01-01T00:00:00Z", "creators": []string{"Tool: sbom-scanner-" + version}},
			"documentDescribes": describes,
			"packages":          listed,
		},
	}
}
