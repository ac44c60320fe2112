//! How many wrong join codes may be tried, by whom.
//!
//! Owns two sliding windows of one minute: one for each address, one for all together. Only wrong guesses
//! count, so an office that joins all at once is not slowed; each wrong one is counted before the next is compared.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::config::limits::{JOIN_GUESSES_GLOBAL_MINUTE, JOIN_GUESSES_PER_ADDRESS_MINUTE};

const MINUTE_MS: u64 = 60_000;

/// Wrong guesses of the last minute. The global bound also bounds the memory.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    all: VecDeque<u64>,
    by_address: HashMap<IpAddr, VecDeque<u64>>,
}

impl Guesses {
    /// Whether this address may guess now; if not, how long to wait.
    pub(super) fn allow(&mut self, address: IpAddr, now_ms: u64) -> Result<(), Duration> {
        let since_ms = now_ms.saturating_sub(MINUTE_MS);
        self.all.retain(|at| *at > since_ms);
        self.by_address.retain(|_, times| {
            times.retain(|at| *at > since_ms);
            !times.is_empty()
        });
        let wait = |times: &VecDeque<u64>| {
            let oldest = times.front().copied().unwrap_or(now_ms);
            Duration::from_millis((oldest + MINUTE_MS).saturating_sub(now_ms).max(1))
        };
        if let Some(times) = self.by_address.get(&network(address))
            && times.len() >= JOIN_GUESSES_PER_ADDRESS_MINUTE as usize
        {
            return Err(wait(times));
        }
        if self.all.len() >= JOIN_GUESSES_GLOBAL_MINUTE as usize {
            return Err(wait(&self.all));
        }
        Ok(())
    }

    /// Counts a wrong guess that was allowed.
    pub(super) fn wrong(&mut self, address: IpAddr, now_ms: u64) {
        self.all.push_back(now_ms);
        self.by_address.entry(network(address)).or_default().push_back(now_ms);
    }
}

/// Whom an address belongs to: one host has a whole /64 of IPv6 addresses to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u32) -> IpAddr {
        IpAddr::V4((0x0a4d_0000 + last).into())
    }

    #[test]
    fn one_address_has_five_wrong_guesses_a_minute() {
        let mut guesses = Guesses::default();
        for _ in 0..JOIN_GUESSES_PER_ADDRESS_MINUTE {
            guesses.allow(v4(1), 1_000).unwrap();
            guesses.wrong(v4(1), 1_000);
        }
        assert_eq!(guesses.allow(v4(1), 1_000), Err(Duration::from_secs(60)));
        guesses.allow(v4(2), 1_000).unwrap();
        guesses.allow(v4(1), 61_001).unwrap();
    }

    #[test]
    fn a_whole_v6_network_counts_as_one() {
        let mut guesses = Guesses::default();
        for n in 0..JOIN_GUESSES_PER_ADDRESS_MINUTE {
            let address = format!("2001:db8:1:2::{n:x}").parse().unwrap();
            guesses.allow(address, 5).unwrap();
            guesses.wrong(address, 5);
        }
        assert!(guesses.allow("2001:db8:1:2:ffff::1".parse().unwrap(), 5).is_err());
        assert!(guesses.allow("2001:db8:1:3::1".parse().unwrap(), 5).is_ok());
        assert!(guesses.allow("::ffff:10.0.0.1".parse().unwrap(), 5).is_ok());
    }

    #[test]
    fn all_addresses_together_reach_the_comparison_sixty_times_a_minute() {
        let mut guesses = Guesses::default();
        let (mut compared, mut now_ms) = (0_u32, 0);
        for guess in 0..100_000_u32 {
            now_ms += 6; // ten minutes in all
            if guesses.allow(v4(guess % 256), now_ms).is_ok() {
                guesses.wrong(v4(guess % 256), now_ms);
                compared += 1;
            }
            assert!(guesses.by_address.len() <= JOIN_GUESSES_GLOBAL_MINUTE as usize);
        }
        assert!(compared <= 11 * JOIN_GUESSES_GLOBAL_MINUTE, "{compared}");
    }
}
