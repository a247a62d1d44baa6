@drill
Feature: nothing is deployed that could not be pushed

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Build
    Given the fault "registry down"
    When the image is built, pushed and signed
    Then the deploy stops with nothing changed because of the build

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
