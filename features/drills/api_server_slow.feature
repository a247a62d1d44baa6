@drill
Feature: a slow API server makes a deploy slower, not wrong

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Under the fault
    Given the fault "api server slow"
    And the stack is one that this deploy supports

  Scenario: Canary at 5%
    When 5% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
    And for 2 minutes the p95 latency stays at or below 300 ms

  Scenario: Canary at 25%
    When 25% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
    And for 2 minutes the p95 latency stays at or below 300 ms

  Scenario: Canary at 50%
    When 50% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
    And for 2 minutes the p95 latency stays at or below 300 ms

  Scenario: Canary at 100%
    When 100% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
    And for 2 minutes the p95 latency stays at or below 300 ms

  Scenario: The end
    Then the deploy is committed all the same
