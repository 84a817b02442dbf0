//! A moment of what `make bench-serve` does for long.

use lambent_e2e::load::{clients, soak};
use lambent_e2e::privileged;

#[test]
fn privileged_many_clients_get_their_own_answers() {
    if !privileged() {
        return;
    }
    let outcome = clients::run(clients::Load::MOMENT).expect("the clients run");
    if let Err(error) = outcome.check() {
        panic!("{error}\n{outcome}");
    }
}

#[test]
fn privileged_a_service_does_not_grow() {
    if !privileged() {
        return;
    }
    let outcome = soak::run(soak::MOMENT).expect("every invocation is answered");
    if let Err(error) = outcome.check() {
        panic!("{error}\n{outcome}");
    }
}
