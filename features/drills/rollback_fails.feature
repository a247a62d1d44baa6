@drill
Feature: a rollback that fails calls a human

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Canary at 5%
    When 5% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
    And for 2 minutes the p95 latency stays at or below 300 ms

  Scenario: Canary at 25%
    Given the fault "rollback fails"
    And from now on the canary fails 5% of its requests
    When 25% of the traffic goes to the canary
    Then the rollback fails and a human is called

  Scenario: Canary at 50%
    When 50% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%

  Scenario: Canary at 100%
    When 100% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
