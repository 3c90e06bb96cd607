"""The dynamic batcher: queue, quotas, deadlines, cost, scheduler."""
