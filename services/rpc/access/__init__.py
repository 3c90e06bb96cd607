"""Who calls, and what they may call: certificates, tokens, policy, rates."""
