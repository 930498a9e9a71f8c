//! What a test says of itself: its name, how long it may take, and on which kernels it runs.

use std::time::Duration;

/// What the names of the tests on the distribution's kernel begin with.
pub(super) const DISTRIBUTION: &str = "distribution::";

/// The kernels on which a test runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernels {
    UserMode,
    Distribution,
    Both,
}

/// A test that runs in the guest.
#[derive(Clone, Copy)]
pub struct Test {
    pub(super) name: &'static str,
    pub(super) run: fn(),
    pub(super) deadline: Duration,
    pub(super) alone: bool,
    kernels: Kernels,
    pub(super) after_reboot: Option<fn()>,
}

/// Makes a test that may take half a minute.
pub fn test(name: &'static str, run: fn()) -> Test {
    let deadline = Duration::from_secs(30);
    Test { name, run, deadline, alone: false, kernels: Kernels::UserMode, after_reboot: None }
}

impl Test {
    /// Sets how long the test may take, in seconds.
    #[allow(dead_code)]
    pub fn within(self, seconds: u64) -> Self {
        Test { deadline: Duration::from_secs(seconds), ..self }
    }

    /// Gives the test a guest of its own, for one that needs a kernel in which nothing has been done yet.
    #[allow(dead_code)]
    pub fn alone(self) -> Self {
        Test { alone: true, ..self }
    }

    /// Boots another guest when the test has passed and goes on there, with what it kept ([`crate::carried`]).
    pub fn then_after_reboot(self, run: fn()) -> Self {
        Test { after_reboot: Some(run), ..self }
    }

    /// Lets the test run on the distribution's kernel as well.
    pub fn on_both_kernels(self) -> Self {
        Test { kernels: Kernels::Both, ..self }
    }

    /// Lets the test run on the distribution's kernel only.
    #[allow(dead_code)]
    pub fn on_distribution_kernel(self) -> Self {
        Test { kernels: Kernels::Distribution, ..self }
    }

    /// Returns the test once for each of its kernels, under a name of its own; the names live as long as the process,
    /// which runs one test.
    pub fn by_kernel(self) -> Vec<Test> {
        let name = || format!("{DISTRIBUTION}{}", self.name).leak();
        let distribution = || Test { name: name(), kernels: Kernels::Distribution, ..self };
        match self.kernels {
            Kernels::UserMode => vec![self],
            Kernels::Distribution => vec![distribution()],
            Kernels::Both => vec![Test { kernels: Kernels::UserMode, ..self }, distribution()],
        }
    }

    /// Tells whether the test runs on the distribution's kernel.
    pub(super) fn is_emulated(&self) -> bool {
        self.kernels == Kernels::Distribution
    }
}
