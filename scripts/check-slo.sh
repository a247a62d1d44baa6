#!/bin/sh
# Is the service within its SLO? A gate of this repository's example, asked by
#   Then for 5 minutes the script "./scripts/check-slo.sh" finds the SLO kept
# Usage: ./scripts/check-slo.sh <service> <step-percent>
# Exits 0 within the SLO, 1 not, 2 when it can't tell: no data, too little of it, or no answer. Never 0 without numbers.
#
# PROMETHEUS_URL   where it asks; required
# WINDOW_S         seconds back from now (300)
# ERROR_RATE_MAX   share of requests that may fail with 5xx (0.005)
# P95_LATENCY_MS   milliseconds for 95 % of the requests (300)
# MIN_REQUESTS     fewer in the window prove nothing (100)
#
# It sees the service as a whole: at a small weight the canary is one part of that, and the words say how much of it
# could fail unseen. The built-in gates read the canary's own series; prefer them where pods can be told apart.
set -u
LC_ALL=C
export LC_ALL

cant_tell() {
    echo "can't tell: $*"
    exit 2
}

[ $# -eq 2 ] || cant_tell "usage: $0 <service> <step-percent>"
service=$1 percent=$2
window="${WINDOW_S:-300}s"
case $service in '' | *[!a-z0-9-]*) cant_tell "'$service' is no service name: lower-case letters, digits, '-'" ;; esac
case $percent in '' | *[!0-9]*) cant_tell "'$percent' is no whole percentage" ;; esac
{ [ "$percent" -ge 1 ] && [ "$percent" -le 100 ]; } || cant_tell "$percent % is no weight: 1 to 100"
[ -n "${PROMETHEUS_URL:-}" ] || cant_tell "PROMETHEUS_URL is not set"

# Prints the one number that a query yields; nothing when there is no series, or no finite number.
ask() {
    answer=$(curl -sS -f -G --max-time 10 --data-urlencode "query=$1" "${PROMETHEUS_URL%/}/api/v1/query" 2>&1) ||
        cant_tell "Prometheus does not answer: $answer"
    case $answer in
        *'"status":"success"'*) ;;
        *) cant_tell "that is no answer of Prometheus: $(printf %.100s "$answer")" ;;
    esac
    case $answer in *'"warnings":'*) cant_tell "a partial answer: $answer" ;; esac
    printf '%s\n' "$answer" | awk '
        {
            series = gsub(/"value":\[/, "\n")
            split($0, part, "\n")
            split(part[2], field, "\"")
            if (series == 1 && field[2] ~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/) print field[2]
        }'
}

# A function's exit in $( ) ends only its subshell: its words are then in the variable, and its status is 2.
requests="http_requests_total{service=\"$service\",status!=\"\"}"
errors="http_requests_total{service=\"$service\",status=~\"5..\"}"
buckets="http_request_duration_seconds_bucket{service=\"$service\"}"
total=$(ask "sum(increase($requests[$window]))") || { echo "$total"; exit 2; }
[ -n "$total" ] || cant_tell "no requests of $service with a status in the last $window: no data is no proof"
# The vector(0) is safe here only: there are requests, so no series of errors means that none failed.
rate=$(ask "(sum(rate($errors[$window])) or vector(0)) / sum(rate($requests[$window]))") || { echo "$rate"; exit 2; }
p95=$(ask "histogram_quantile(0.95, sum by (le) (rate($buckets[$window])))") || { echo "$p95"; exit 2; }
[ -n "$rate" ] && [ -n "$p95" ] || cant_tell "error rate '$rate', p95 '$p95': not a number each"

awk -v total="$total" -v rate="$rate" -v p95="$p95" -v window="$window" -v service="$service" -v percent="$percent" \
    -v rate_max="${ERROR_RATE_MAX:-0.005}" -v p95_max_ms="${P95_LATENCY_MS:-300}" -v least="${MIN_REQUESTS:-100}" '
    BEGIN {
        printf "%s at %d %%: error rate %.2f %% (limit %.2f %%), p95 %.0f ms (limit %.0f ms), %.0f requests in %s\n",
            service, percent, rate * 100, rate_max * 100, p95 * 1000, p95_max_ms, total, window
        if (total < least + 0) { printf "can'\''t tell: at least %d requests are needed\n", least; exit 2 }
        if (rate > rate_max + 0 || p95 > p95_max_ms / 1000) { print "not within the SLO"; exit 1 }
        hidden = rate_max * 10000 / percent
        printf "within the SLO; of the canary alone up to %.1f %% could fail unseen\n", (hidden > 100 ? 100 : hidden)
    }'
