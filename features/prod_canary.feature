@deploy @canary
Feature: checkout-api reaches production by canary

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Pre-flight
    Given the stack is one that this deploy supports
    And the cluster is the one expected for "prod"
    And the Helm release is neither pending nor failed
    And no open incident is tagged "service:checkout-api"
    And the deploy account may do, and undo, everything this deploy does
    And the deployment checklist is complete
    And every gate of this feature can be judged

  Scenario: Release candidate
    Given the release candidate's record is verified

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

  Scenario: Approval
    Then "prod" is approved for this digest by one of its approvers

  Scenario Outline: Canary at <weight>
    When <weight> of the traffic goes to the canary
    Then for <window> the error rate stays at or below 0.5%
    And for <window> the p95 latency stays at or below 300 ms

    Examples:
      | weight | window    |
      | 5%     | 5 minutes |
      | 25%    | 5 minutes |
      | 50%    | 5 minutes |
      | 100%   | 5 minutes |

  Scenario: Afterwards
    Then the new revision is on top of the rollout history
    And the SLO of "checkout-api" holds for 15 minutes
    And the deploy ticket is closed with the digest and the revision
    And the deploy note is posted to "#deploys"
