@drill
Feature: nothing is deployed that was not approved

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Approval
    Given the fault "approval denied"
    When the image is built, pushed and signed
    Then "prod" is approved for this digest by one of its approvers
    Then the deploy stops with nothing changed because of approval denied

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
