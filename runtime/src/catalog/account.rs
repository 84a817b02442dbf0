//! What an account may have of concurrency.

/// Executions that Lambda keeps for functions without a reservation.
pub(super) const UNRESERVED_MIN: usize = 100;
