//! The host in memory keeps the contract that the kernel keeps.

mod contract;

use contract::Bench;
use lvsctl::host::Host;
use lvsctl::host::fake::FakeHost;

impl Bench for FakeHost {
    fn connect(&self) -> Box<dyn Host> {
        Box::new(self.clone())
    }
}

#[test]
fn every_case_holds() {
    for (name, case) in contract::cases() {
        println!("{name}");
        case(&FakeHost::new().with_link("eth0", Some("02:00:00:00:00:01"), &["192.0.2.1/24", "2001:db8::1/64"]));
    }
}

#[test]
fn a_failure_can_be_made_to_happen() {
    use lvsctl::effect::Effect;
    use lvsctl::host::HostError;

    let mut host = FakeHost::new();
    let effects = ["ip_vs", "ip_vs_rr", "ip_vs_wrr"].map(|name| Effect::LoadModule(name.into()));
    let error = HostError::Unreachable { text: "the cable was pulled".into() };
    host.fail_at(1, error.clone());
    assert_eq!(host.perform_all(effects.to_vec()), [Ok(()), Err(error), Err(HostError::NotTried)]);
    assert_eq!(host.performed(), effects[..2]);
    assert_eq!(host.perform_all(effects.to_vec()), [Ok(()), Ok(()), Ok(())], "and only once");
}
