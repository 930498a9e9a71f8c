//! What every host promises, whatever it is made of. The host in memory and the real kernel run the same cases.
//!
//! A case gets a bench with one fresh host: `lo`, and `eth0` with 192.0.2.1/24 and 2001:db8::1/64, nothing else
//! configured. To add a case, write a function in one of the files and a line in [`cases`].

mod daemon;
mod files;
mod ipvs;
pub mod network;
mod rules;
mod transactions;

use std::fmt::Debug;

use lvsctl::effect::{Answer, Effect, Probe};
use lvsctl::host::{Host, HostError};

/// A fresh host, and as many connections to it as a case asks for.
pub trait Bench {
    /// Opens a connection.
    fn connect(&self) -> Box<dyn Host>;
}

/// A case, by its name.
pub type Case = (&'static str, fn(&dyn Bench));

/// Returns every case.
pub fn cases() -> Vec<Case> {
    vec![
        ("ipvs_services_come_back_as_they_were_written", ipvs::services_come_back_as_they_were_written),
        ("ipvs_is_edited_in_place", ipvs::is_edited_in_place),
        ("ipvs_is_taken_out_and_added_again", ipvs::is_taken_out_and_added_again),
        ("ipvs_what_is_gone_stays_gone", ipvs::what_is_gone_stays_gone),
        ("ipvs_refusals_have_their_numbers", ipvs::refusals_have_their_numbers),
        ("ipvs_values_out_of_range_are_refused", ipvs::values_out_of_range_are_refused),
        ("ipvs_a_batch_goes_on_after_refusals", ipvs::a_batch_goes_on_after_refusals),
        ("ipvs_timeouts_are_set_one_by_one", ipvs::timeouts_are_set_one_by_one),
        ("ipvs_sync_daemons_start_and_stop", ipvs::sync_daemons_start_and_stop),
        ("ipvs_is_waited_for", ipvs::is_waited_for),
        ("addresses_come_and_go_with_their_labels", network::addresses_come_and_go_with_their_labels),
        ("an_address_is_waited_for", network::an_address_is_waited_for),
        ("default_routes_are_replaced", network::default_routes_are_replaced),
        ("sysctls_are_read_and_written", network::sysctls_are_read_and_written),
        ("offloads_are_switched", network::offloads_are_switched),
        ("ports_of_gue_are_opened", network::ports_of_gue_are_opened),
        ("modules_are_loaded", network::modules_are_loaded),
        ("modules_bring_what_is_theirs", network::modules_bring_what_is_theirs),
        ("chains_are_restored_beside_foreign_ones", rules::chains_are_restored_beside_foreign_ones),
        ("a_refused_restore_changes_nothing", rules::a_refused_restore_changes_nothing),
        ("files_are_replaced_whole", files::files_are_replaced_whole),
        ("a_link_takes_the_place_of_anything", files::a_link_takes_the_place_of_anything),
        ("a_refused_configuration_is_not_written", files::a_refused_configuration_is_not_written),
        ("the_lock_is_held_by_one", files::the_lock_is_held_by_one),
        ("nothing_is_tried_after_a_failure", files::nothing_is_tried_after_a_failure),
        ("keepalived_starts_reloads_and_stops", daemon::keepalived_starts_reloads_and_stops),
        ("keepalived_runs_with_vrrp", daemon::keepalived_runs_with_vrrp),
        ("keepalived_is_started_and_stopped_twice", daemon::keepalived_is_started_and_stopped_twice),
        ("what_the_client_took_back_is_left_alone", transactions::what_the_client_took_back_is_left_alone),
        ("asking_changes_nothing", network::asking_changes_nothing),
    ]
}

/// Performs effects that must all succeed.
fn succeed(host: &mut dyn Host, effects: &[Effect]) {
    for (effect, result) in effects.iter().zip(host.perform_all(effects.to_vec())) {
        assert_eq!(result, Ok(()), "{effect:?}");
    }
}

/// Performs an effect that the kernel must refuse, and returns the number.
#[track_caller]
fn refusal(host: &mut dyn Host, effect: &Effect) -> String {
    let error = failure(host, effect);
    error.errno().unwrap_or_else(|| panic!("{effect:?} failed otherwise: {error}")).to_owned()
}

/// Performs an effect that must fail.
#[track_caller]
fn failure(host: &mut dyn Host, effect: &Effect) -> HostError {
    host.perform(effect).map(|()| panic!("{effect:?} succeeded")).unwrap_err()
}

/// Asks a question that must be answered.
#[track_caller]
fn ask(host: &mut dyn Host, probe: &Probe) -> Answer {
    host.probe(probe).unwrap_or_else(|error| panic!("{probe:?}: {error}"))
}

/// Says that an answer is not to the question.
#[track_caller]
fn mismatch(answer: &dyn Debug) -> ! {
    panic!("not the answer to the question: {answer:?}")
}
