"""The panels of the dashboard about models and money."""

from dashboard_panels import SOURCES, Panel, Query, Shape

_MODEL = '{provider=~"$provider", model=~"$model"}'
_PROVIDER = '{provider=~"$provider"}'
_RATE = "[$__rate_interval]"
_BUDGET_COLOURS = {0.8: "orange", 0.99: "red"}

_GLANCE = (
    SOURCES,
    Panel(
        "Share of the budget spent",
        "Spent share of each provider's limit of this UTC month, without reservations. Calls that do not fit are "
        "refused, so spending ends a little below 100 %.",
        [Query(f"aegis:budget_used:ratio{_PROVIDER}", "{{provider}}")],
        "percentunit",
        Shape.BARS,
        thresholds=_BUDGET_COLOURS,
        maximum=1,
    ),
    Panel(
        "Spent this month",
        "Settled cost of the UTC month.",
        [Query(f"max by (provider) (monthly_spend_usd{_PROVIDER})", "{{provider}}")],
        "currencyUSD",
        Shape.STAT,
        width=4,
    ),
    Panel(
        "Left this month",
        "Limit minus spent minus reserved. Below zero: the limit was lowered. Missing: a provider without limit.",
        [Query(f"max by (provider) (monthly_budget_remaining_usd{_PROVIDER})", "{{provider}}")],
        "currencyUSD",
        Shape.STAT,
        width=4,
        thresholds={0.01: "green"},
        base="red",
    ),
)

_CALLS = (
    Panel(
        "Request rate",
        "Calls that ended, by model; failed ones too.",
        [Query(f"sum by (provider, model) (rate(llm_requests_total{_MODEL}{_RATE}))", "{{provider}}/{{model}}")],
        "reqps",
    ),
    Panel(
        "Latency, p50 and p95",
        "Half of the calls, and 19 of 20, took at most this long. 30 s means 30 s or more.",
        [
            Query(
                f"histogram_quantile({share}, sum by (le, provider, model) "
                f"(rate(llm_latency_seconds_bucket{_MODEL}{_RATE})))",
                f"{{{{provider}}}}/{{{{model}}}} {name}",
            )
            for share, name in (("0.5", "p50"), ("0.95", "p95"))
        ],
        "s",
        thresholds={20.0: "red"},
    ),
    Panel(
        "Errors by type",
        "Failed calls by provider and type: rate_limit, timeout, auth, ... A retry is a call of its own.",
        [
            Query(
                f"sum by (provider, error_type) (rate(llm_errors_total{_PROVIDER}{_RATE}))",
                "{{provider}} {{error_type}}",
            )
        ],
        "reqps",
        Shape.STACKED,
    ),
    Panel(
        "Requests by task",
        "Calls by task, e.g. image_description.",
        [Query(f"sum by (task_type) (rate(llm_requests_total{_MODEL}{_RATE}))", "{{task_type}}")],
        "reqps",
        Shape.STACKED,
    ),
    Panel(
        "Share of failed calls",
        "Failed calls as a share of all calls in 15 minutes. Empty while no model is called.",
        [Query(f"aegis:llm_errors:ratio15m{_PROVIDER}", "{{provider}}")],
        "percentunit",
        thresholds={0.1: "red"},
        maximum=1,
    ),
    Panel(
        "Documents put off",
        "Documents that wait for money (budget) or for a provider that answers (providers). The next run that can pay "
        "or ask takes them up.",
        [Query("sum by (reason) (aegis_documents_deferred)", "{{reason}}")],
        "none",
    ),
)

_MONEY = (
    Panel(
        "Cost per hour",
        "Cost of the calls of the last hour, by model.",
        [Query(f"sum by (provider, model) (increase(llm_cost_usd_total{_MODEL}[1h]))", "{{provider}}/{{model}}")],
        "currencyUSD",
        Shape.STACKED,
    ),
    Panel(
        "Spend against the limit",
        "Spent, reserved for calls in flight, and the limit. Reservations are worst cases, several times the cost.",
        [
            Query(f"max by (provider) (monthly_spend_usd{_PROVIDER})", "{{provider}} spent"),
            Query(f"max by (provider) (monthly_reserved_usd{_PROVIDER})", "{{provider}} reserved"),
            Query(f"max by (provider) (monthly_budget_limit_usd{_PROVIDER})", "{{provider}} limit"),
        ],
        "currencyUSD",
    ),
    Panel(
        "Forecast of the month's end",
        "Spent so far, plus the mean of the last seven days for each day left; beside the limit.",
        [
            Query(f"max by (provider) (monthly_forecast_usd{_PROVIDER})", "{{provider}} expected"),
            Query(f"max by (provider) (monthly_budget_limit_usd{_PROVIDER})", "{{provider}} limit"),
        ],
        "currencyUSD",
    ),
    Panel(
        "Estimated usage",
        "Calls of the last hour whose tokens the provider did not report; their cost is an estimate.",
        [
            Query(
                f"sum by (provider, model) (increase(llm_usage_estimated_total{_MODEL}[1h]))", "{{provider}}/{{model}}"
            )
        ],
        "none",
    ),
    Panel(
        "Unknown usage",
        "Calls of the last hour that may have been billed without an answer; each cost its reservation.",
        [Query(f"sum by (provider, model) (increase(llm_usage_unknown_total{_MODEL}[1h]))", "{{provider}}/{{model}}")],
        "none",
    ),
    Panel(
        "Calls dearer than reserved",
        "Calls of the last hour that cost more than their reservation. Must be 0: otherwise a limit can be passed.",
        [
            Query(
                f"sum by (provider, model) (increase(llm_cost_above_reservation_total{_MODEL}[1h]))",
                "{{provider}}/{{model}}",
            )
        ],
        "none",
        thresholds={0.5: "red"},
    ),
)

_TOKENS = (
    Panel(
        "Tokens in and out",
        "Tokens per second, input and output.",
        [Query(f"sum by (token_type) (rate(llm_tokens_used_total{_MODEL}{_RATE}))", "{{token_type}}")],
        "short",
        Shape.STACKED,
    ),
    Panel(
        "Tokens by model",
        "Tokens per second, input and output together.",
        [Query(f"sum by (provider, model) (rate(llm_tokens_used_total{_MODEL}{_RATE}))", "{{provider}}/{{model}}")],
        "short",
        Shape.STACKED,
    ),
    Panel(
        "Cached and reasoning tokens",
        "Input tokens read from and written to the providers' caches, and reasoning output tokens, per second; all are "
        "included in the panels beside.",
        [
            Query(f"sum by (provider) (rate(llm_cached_tokens_total{_MODEL}{_RATE}))", "{{provider}} cached input"),
            Query(f"sum by (provider) (rate(llm_reasoning_tokens_total{_MODEL}{_RATE}))", "{{provider}} reasoning"),
            Query(
                f"sum by (provider) (rate(llm_cache_write_tokens_total{_MODEL}{_RATE}))",
                "{{provider}} cache writes",
            ),
        ],
        "short",
    ),
)

ROWS = {"At a glance": _GLANCE, "Calls": _CALLS, "Money": _MONEY, "Tokens": _TOKENS}
