//! stub
use crate::effect::*;
use crate::topology;
/// e
#[derive(Clone, Debug, thiserror::Error)]
pub enum HostError {
    /// n
    #[error("not tried")]
    NotTried,
    /// i
    #[error("interrupted")]
    Interrupted,
}
impl HostError {
    /// h
    pub fn help(&self) -> Option<String> {
        None
    }
    /// h
    pub fn interrupted() -> Self {
        HostError::Interrupted
    }
}
/// h
#[allow(missing_docs)]
pub trait Host: Send {
    fn capabilities(&mut self) -> Result<Capabilities, HostError>;
    fn probe(&mut self, probe: &Probe) -> Result<Answer, HostError>;
    fn perform(&mut self, effect: &Effect) -> Result<(), HostError>;
    fn perform_all(&mut self, effects: &[Effect]) -> Vec<Result<(), HostError>>;
    fn lock(&mut self) -> Result<(), HostError>;
}
/// c
pub fn connect(_host: &topology::Host) -> Result<Box<dyn Host>, HostError> {
    Err(HostError::NotTried)
}
