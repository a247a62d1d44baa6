@drill
Feature: a canary whose numbers have stopped never passes 25%

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Canary at 5%
    When 5% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
    And for 2 minutes the p95 latency stays at or below 300 ms

  Scenario: Canary at 25%
    Given the fault "stale data from mid-window at 25%"
    When 25% of the traffic goes to the canary
    Then the deploy is rolled back within 10 minutes because of stale data
    And the old version serves all traffic again, verified

  Scenario: Canary at 50%
    When 50% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%

  Scenario: Canary at 100%
    When 100% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
