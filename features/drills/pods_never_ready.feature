@drill
Feature: a canary whose pods are never ready gets no traffic

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Canary at 5%
    Given the fault "pods never ready"
    When 5% of the traffic goes to the canary
    Then the deploy is rolled back within 15 minutes because of pods never ready
    And the old version serves all traffic again, verified

  Scenario: Canary at 25%
    When 25% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%

  Scenario: Canary at 50%
    When 50% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%

  Scenario: Canary at 100%
    When 100% of the traffic goes to the canary
    Then for 2 minutes the error rate stays at or below 0.5%
