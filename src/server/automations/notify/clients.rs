//! The clients that webhooks and notifications are sent with.
//!
//! None follows a redirect: where the secrets of a block go is said by its URL alone. One that may not
//! reach private networks judges addresses as it resolves a name, so that what was judged is what is
//! connected to, whatever the name stands for a moment later.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::json;

use super::Block;

/// The clients, each made when a block first needs it.
#[derive(Default)]
pub(crate) struct Clients([OnceLock<Client>; 4]);

impl Clients {
    /// Begins a request as a block allows it.
    ///
    /// # Errors
    /// Says why there is none to that URL.
    pub(super) fn request(
        &self,
        block: &Block,
        method: Method,
        url: &str,
    ) -> Result<RequestBuilder, String> {
        let url =
            Url::parse(url).map_err(|error| format!("the URL of the block is none: {error}"))?;
        let reach = match block.data["allow_private_urls"] == json!(false) {
            true => Reach::Public,
            false => Reach::All,
        };
        // An address is not resolved.
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if let (Reach::Public, Ok(address)) = (reach, host.parse())
            && is_private(address)
        {
            return Err(private(host));
        }
        let trust = match block.data["verify"] == json!(false) {
            true => Trust::Anyone,
            false => Trust::Verified,
        };
        Ok(self.client(reach, trust)?.request(method, url))
    }

    fn client(&self, reach: Reach, trust: Trust) -> Result<&Client, String> {
        let place =
            &self.0[usize::from(reach == Reach::Public) * 2 + usize::from(trust == Trust::Anyone)];
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let client = crate::http::client()
            .user_agent(concat!("prefect-rs/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .tls_danger_accept_invalid_certs(trust == Trust::Anyone);
        let client = match reach {
            Reach::All => client,
            // A proxy would resolve the name by itself.
            Reach::Public => client.no_proxy().dns_resolver(PublicOnly),
        };
        let client = client.build().map_err(|error| error.to_string())?;
        Ok(place.get_or_init(|| client))
    }
}

/// Which networks a request may reach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    All,
    Public,
}

/// Whose certificates are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Verified,
    Anyone,
}

/// Resolves names, but none that stands for a private address too.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            if found.iter().any(|address| is_private(address.ip())) {
                return Err(private(host).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn private(host: &str) -> String {
    format!("the host `{host}` is private, which the block does not allow")
}

/// Tells whether an address is reached from some networks only, by the registries of IANA for special purposes.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => is_private_4(ip),
        IpAddr::V6(ip) => match embedded(ip) {
            Some(ip) => is_private_4(ip),
            None => is_private_6(ip),
        },
    }
}

/// Returns the address of the older kind that one of the newer kind leads to.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let translated = match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ => None,
    };
    ip.to_ipv4_mapped().or(translated)
}

fn is_private_4(ip: Ipv4Addr) -> bool {
    let octets = ip.octets();
    let is_special = matches!(
        octets,
        [0 | 240..=255, ..] | [192, 0, 0, 0..=7] | [198, 18 | 19, ..]
    );
    is_special || ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation()
}

fn is_private_6(ip: Ipv6Addr) -> bool {
    let is_special = matches!(
        ip.segments(),
        [0x64, 0xff9b, 1, ..] | [0x100, 0, 0, 0, ..] | [0x2001, 0..=0x1ff | 0xdb8, ..]
    );
    is_special
        || ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_unique_local()
        || ip.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_are_known_in_each_of_their_forms() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "198.18.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2001:db8::1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "192.1.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn a_block_that_keeps_out_of_private_networks_is_kept_out_by_address_and_by_name() {
        let block = Block {
            slug: "webhook".to_owned(),
            data: json!({"allow_private_urls": false}),
        };
        let clients = Clients::default();
        for address in ["http://127.0.0.1:9/", "http://2130706433/", "http://[::1]/"] {
            let refused = clients.request(&block, Method::GET, address);
            assert!(refused.unwrap_err().contains("is private"), "{address}");
        }
        let by_name = clients.request(&block, Method::GET, "http://localhost:9/");
        let refused = super::super::send(by_name.unwrap(), super::super::PATIENCE).await;
        assert!(refused.unwrap_err().contains("`localhost` is private"));
    }
}
