//! What a host knows of an apply when its client is gone.

use std::time::Duration;

use lvsctl::effect::{Answer, Effect, Probe, Undo};
use lvsctl::host::{Host, Operator, Reversible, Transaction, Transactions};
use lvsctl::topology::SecretText;

use super::{Bench, ask, mismatch, succeed};

const ID: &str = "0123abcd";

fn write(path: &str, text: &str) -> Effect {
    let text = SecretText::plain(text);
    Effect::WriteFile { path: path.into(), text, mode: 0o600, keepalived_test: false, keep_previous: false }
}

fn text(host: &mut dyn Host, path: &str) -> Option<String> {
    match ask(host, &Probe::File(path.into())) {
        Answer::File(_, state) => state.map(|state| state.text),
        other => mismatch(&other),
    }
}

/// The client takes two of three files back, and dies: the host takes back the third, and leaves alone what somebody has
/// made of the others since then.
pub fn what_the_client_took_back_is_left_alone(bench: &dyn Bench) {
    let (mut client, mut other) = (bench.connect(), bench.connect());
    let operator = Operator { user: "alice".into(), from: "desk".into(), command: "lvsctl apply".into() };
    client.lock(&operator, Duration::ZERO).unwrap();
    client.begin(&Transaction { id: ID.into(), plan: "sha256:0".into(), operator, window: None }).unwrap();
    let paths = ["/etc/site/a", "/etc/site/b", "/etc/site/c"];
    let replace = |path| Reversible { effect: write(path, "after"), undo: Undo::reverse([write(path, "before")]) };
    assert_eq!(client.perform_reversibly(paths.map(replace).to_vec()), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(client.perform(&write(paths[2], "before")), Ok(()));
    assert_eq!(client.perform_all(vec![write(paths[1], "before")]), [Ok(())]);
    succeed(&mut *other, &[write(paths[1], "theirs"), write(paths[2], "theirs")]);
    drop(client);
    let taken_back = other.revert(ID).unwrap();
    assert_eq!(taken_back.errors, Vec::<String>::new());
    let now = paths.map(|path| text(&mut *other, path));
    assert_eq!(now.each_ref().map(|text| text.as_deref()), [Some("before"), Some("theirs"), Some("theirs")]);
    other.forget().unwrap();
    assert_eq!(other.transactions(), Ok(Transactions::default()));
}
