// Writes a vulnerability database for trivy that holds just the rows it is given: tests scan without a network.
//
// The first argument is the folder of the database (trivy's cache folder, then "db"); standard input is JSON:
//
//	{"updated_at": "2026-01-01T00:00:00Z", "rows": [{"id": "CVE-2026-0001", "platform": "debian 12",
//	 "package": "openssl", "fixed_version": "3.0.1-1", "severity": "CRITICAL", "title": "..."}]}
//
// Without "updated_at" the database is as old as now.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/aquasecurity/trivy-db/pkg/db"
	"github.com/aquasecurity/trivy-db/pkg/metadata"
	"github.com/aquasecurity/trivy-db/pkg/types"
	bolt "go.etcd.io/bbolt"
)

var version = "unset" // filled in by the linker

type row struct {
	ID           string `json:"id"`
	Platform     string `json:"platform"`
	Package      string `json:"package"`
	FixedVersion string `json:"fixed_version"`
	Severity     string `json:"severity"`
	Title        string `json:"title"`
}

type wanted struct {
	UpdatedAt *time.Time `json:"updated_at"`
	Rows      []row      `json:"rows"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: trivy-db-maker FOLDER < ROWS.json")
		os.Exit(2)
	}
	if os.Args[1] == "--version" {
		fmt.Println("trivy-db-maker", version)
		return
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "trivy-db-maker:", err)
		os.Exit(1)
	}
}

func write(folder string) error {
	var content wanted
	reader := json.NewDecoder(os.Stdin)
	reader.DisallowUnknownFields()
	if err := reader.Decode(&content); err != nil {
		return err
	}
	if err := db.Init(folder); err != nil {
		return err
	}
	store := db.Config{}
	err := store.BatchUpdate(func(tx *bolt.Tx) error {
		for _, each := range content.Rows {
			if err := put(store, tx, each); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	now := time.Now().UTC()
	updated := now
	if content.UpdatedAt != nil {
		updated = *content.UpdatedAt
	}
	return metadata.NewClient(folder).Update(metadata.Metadata{
		Version: db.SchemaVersion, UpdatedAt: updated, NextUpdate: updated.Add(24 * time.Hour), DownloadedAt: now,
	})
}

func put(store db.Config, tx *bolt.Tx, each row) error {
	severity, err := types.NewSeverity(each.Severity)
	if err != nil {
		return err
	}
	source := types.DataSource{ID: "made-up", Name: "made up for a test", URL: "https://example.com"}
	if err := store.PutDataSource(tx, each.Platform, source); err != nil {
		return err
	}
	platform := []string{each.Platform}
	advisory := types.Advisory{FixedVersion: each.FixedVersion, Severity: severity}
	if err := store.PutAdvisoryDetail(tx, each.ID, each.Package, platform, advisory); err != nil {
		return err
	}
	// What a real build does at its end: from the details to where a scan looks.
	if err := store.SaveAdvisoryDetails(tx, each.ID); err != nil {
		return err
	}
	return store.PutVulnerability(tx, each.ID, types.Vulnerability{Title: each.Title, Severity: each.Severity})
}
