@drill
Feature: a scanner that could not scan is never clean

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Build
    Given the fault "scanner down"
    When the image is built, pushed and signed
    Then it has no "HIGH" or "CRITICAL" vulnerability
    Then the deploy stops with nothing changed because of the scan

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
