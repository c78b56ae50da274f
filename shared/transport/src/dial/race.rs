//! Several addresses of one name: each begins a little after the one before, and the first that works wins.
//!
//! One after the other would be too slow: a name often has an address of a protocol that leads nowhere.

use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

/// The head start of each address over the next (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// The first success, or every failure in the order of the addresses. Losers are given up.
pub(super) async fn first<T, E, F>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<(SocketAddr, E)>>
where
    F: Future<Output = Result<T, E>>,
{
    let begin = |(place, &address): (u32, &SocketAddr)| {
        let attempt = attempt(address);
        Some(Box::pin(async move {
            tokio::time::sleep(HEAD_START * place).await;
            attempt.await
        }))
    };
    let mut running: Vec<_> = (0..).zip(&addresses).map(begin).collect();
    let mut failures: Vec<Option<E>> = addresses.iter().map(|_| None).collect();
    let won = std::future::poll_fn(|cx| {
        for (place, slot) in running.iter_mut().enumerate() {
            let Some(attempt) = slot else { continue };
            if let Poll::Ready(outcome) = attempt.as_mut().poll(cx) {
                *slot = None;
                match outcome {
                    Ok(success) => return Poll::Ready(Some(success)),
                    Err(error) => failures[place] = Some(error),
                }
            }
        }
        if running.iter().all(Option::is_none) { Poll::Ready(None) } else { Poll::Pending }
    });
    let failed = |(address, error): (SocketAddr, Option<E>)| Some((address, error?));
    match won.await {
        Some(success) => Ok(success),
        None => Err(addresses.iter().copied().zip(failures).filter_map(failed).collect()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    fn addresses() -> Vec<SocketAddr> {
        ["[::1]:1", "127.0.0.1:1", "127.0.0.2:1"].map(|text| text.parse().unwrap()).to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_a_moment() {
        let began = Instant::now();
        let won = first(addresses(), async |address: SocketAddr| {
            sleep(Duration::from_secs(if address.is_ipv6() { 3 } else { 1 })).await;
            if address.is_ipv6() { Err("dead") } else { Ok(address) }
        });
        assert_eq!(won.await.unwrap(), addresses()[1]);
        assert_eq!(began.elapsed(), HEAD_START + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn every_failure_is_told_in_order() {
        let failed = first(addresses(), async |address: SocketAddr| {
            sleep(Duration::from_secs(if address.is_ipv6() { 3 } else { 1 })).await;
            Err::<(), _>(address)
        });
        let told: Vec<SocketAddr> = failed.await.unwrap_err().into_iter().map(|(_, told)| told).collect();
        assert_eq!(told, addresses());
    }
}
