@drill
Feature: a canary that answers slowly never passes 25%

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Canary at 5%
    When 5% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
    And for 2 minutes the p95 latency stays at or below 300 ms

  Scenario: Canary at 25%
    Given from now on the canary answers with a p95 latency of 900 ms
    When 25% of the traffic goes to the canary
    Then the deploy is rolled back within 3 minutes because of the p95 latency
    And the old version serves all traffic again, verified

  Scenario: Canary at 50%
    When 50% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%

  Scenario: Canary at 100%
    When 100% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
