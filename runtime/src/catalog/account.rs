//! What an account may have of concurrency.

/// Executions of an account.
pub(super) const ACCOUNT_CONCURRENCY: usize = 1_000;

/// Executions that Lambda keeps for functions without a reservation.
pub(super) const UNRESERVED_MIN: usize = 100;
