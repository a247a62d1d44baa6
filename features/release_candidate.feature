@deploy
Feature: checkout-api becomes a release candidate

  The first of two features: it needs no access to production, and leaves its evidence, signed, with the image.
  features/prod_canary.feature, run by the protected job, verifies that evidence and does not do it all again.

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "staging"

  Scenario: Pre-flight
    Given the stack is one that this deploy supports
    And the cluster is the one expected for "staging"
    And the Helm release is neither pending nor failed
    And the deploy account may do, and undo, everything this deploy does

  Scenario: Build
    When the image is built, pushed and signed
    Then it is pinned by digest
    And its signature, provenance and SBOM are verified
    And it has no "HIGH" or "CRITICAL" vulnerability
    And "make test" and "make integration-test" pass
    And the chart passes lint and strict schema validation

  Scenario: Staging
    When the release is installed on "staging"
    Then every pod runs the pinned digest within 5 minutes
    And the smoke test passes
    And its evidence is signed and attached to the digest
