"""The verbs ``gate check`` and ``gate backtest``: a feature's gates, tested before they are trusted."""
