@drill
Feature: nothing is deployed into an incident

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Pre-flight
    Given the fault "incident open"
    And no open incident is tagged "service:checkout-api"
    Then the deploy stops with nothing changed because of incident open

  Scenario: Canary at 5%
    When 5% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%

  Scenario: Canary at 25%
    When 25% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%

  Scenario: Canary at 50%
    When 50% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%

  Scenario: Canary at 100%
    When 100% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
