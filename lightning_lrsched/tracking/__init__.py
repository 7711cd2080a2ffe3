"""The side wing that records: it knows no schedule, no callback and no Trainer."""
