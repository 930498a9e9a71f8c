//! Making, removing and bringing up interfaces over rtnetlink(7).

use neli::consts::nl::NlmF;
use neli::consts::rtnl::{Ifla, IflaInfo, RtAddrFamily, Rtm};
use neli::rtnl::{Ifinfomsg, IfinfomsgBuilder};
use neli::types::RtBuffer;
use rustix::io::Errno;

use super::HostError;
use super::netlink::Failure;
use super::rtnetlink::{Network, attribute, encode, refused};

impl Network {
    /// Makes an interface that is down; `EEXIST` if there is one of that name.
    pub(super) fn add_link(&mut self, device: &str, sort: &str) -> Result<(), HostError> {
        let doing = format!("make the interface {device}");
        let malformed = |text: String| HostError::Malformed { doing: doing.clone(), text };
        let information = attribute(&doing, Ifla::Linkinfo, neli::types::Buffer::new())?
            .nest(&attribute(&doing, IflaInfo::Kind, sort)?)
            .map_err(|error| malformed(error.to_string()))?;
        let attributes: RtBuffer<_, _> = [attribute(&doing, Ifla::Ifname, device)?, information].into_iter().collect();
        let message = IfinfomsgBuilder::default().ifi_family(RtAddrFamily::Unspecified).rtattrs(attributes);
        let message = encode(&doing, message.build())?;
        self.change_link(&doing, Rtm::Newlink, NlmF::CREATE | NlmF::EXCL, &message)
    }

    /// Removes an interface; `ENODEV` if there is none.
    pub(super) fn remove_link(&mut self, device: &str) -> Result<(), HostError> {
        let doing = format!("remove the interface {device}");
        let message = encode(&doing, self.link(&doing, device)?.build())?;
        self.change_link(&doing, Rtm::Dellink, NlmF::empty(), &message)
    }

    /// Brings an interface up or down; `ENODEV` if there is none.
    pub(super) fn set_link(&mut self, device: &str, is_up: bool) -> Result<(), HostError> {
        let doing = format!("bring {device} {}", if is_up { "up" } else { "down" });
        let link = self.link(&doing, device)?;
        let message = encode(&doing, if is_up { link.up() } else { link.down() }.build())?;
        self.change_link(&doing, Rtm::Newlink, NlmF::empty(), &message)
    }

    fn link(&mut self, doing: &str, device: &str) -> Result<IfinfomsgBuilder, HostError> {
        let index = i32::try_from(self.index_of(doing, device)?).unwrap_or(i32::MAX);
        Ok(IfinfomsgBuilder::default().ifi_family(RtAddrFamily::Unspecified).ifi_index(index))
    }

    fn change_link(&mut self, doing: &str, kind: Rtm, flags: NlmF, message: &[u8]) -> Result<(), HostError> {
        self.socket.request(kind.into(), flags, message, |_| ()).map_err(|failure: Failure| {
            refused(doing, failure, |errno| match errno {
                Errno::EXIST => Some("another interface has this name"),
                Errno::OPNOTSUPP => Some("the kernel knows no interface of this sort"),
                _ => None,
            })
        })
    }
}

/// Returns the sort of an interface (`IFLA_INFO_KIND`); a network card has none.
pub(super) fn sort(message: &Ifinfomsg) -> Option<String> {
    let attributes = message.rtattrs().get_attr_handle();
    let information = attributes.get_nested_attributes::<IflaInfo>(Ifla::Linkinfo).ok()?;
    information.get_attr_payload_as_with_len::<String>(IflaInfo::Kind).ok()
}
