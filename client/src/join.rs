//! `consilium-client join`: from a token to an identity folder. The private key is made here and stays here.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use consilium_pki::{
    CA_FILE, CERTIFICATE_FILE, FINGERPRINT_KEY_FILE, JOINING_KEY_FILE, OwnKey, Readers, create,
    finish_replacement, pem_of, refuse_exposed, replace, replace_pair,
};
use consilium_transport::{Dialler, Identity, JoinError, JoinToken, Joined, ProxyChoice, Tuning};

use crate::links::{LinkKeys, ProxySetting};

/// Hexadecimal digits of a fingerprint key.
const FINGERPRINT_KEY_DIGITS: usize = 64;

/// What `join` needs.
#[derive(Debug, Clone, Args)]
pub struct JoinArgs {
    /// The token from the consortium's admin, or `-` to read it from standard input, where no process list shows it.
    token: String,
    /// The folder for this site's key and certificates; created where absent.
    #[arg(long)]
    identity: PathBuf,
    /// The file with the key that the consortium's sites share, for studies that look for duplicate patients. It comes
    /// from the admin by another way than the coordinator.
    #[arg(long)]
    fingerprint_key: Option<PathBuf>,
    /// How the coordinator is reached: `auto` (QUIC, then TCP, then the proxy), `quic` or `tcp`.
    #[arg(long, default_value = "auto")]
    link: String,
    /// The coordinator's TCP port, where it is not the one in the token.
    #[arg(long, value_name = "PORT")]
    tcp_port: Option<u16>,
    /// The hospital's proxy, http://HOST:PORT, or `off`. Without it the variables HTTPS_PROXY, ALL_PROXY and NO_PROXY
    /// count; a name and a password belong there, where no process list shows them.
    #[arg(long, value_name = "PROXY")]
    proxy: Option<String>,
}

/// Joins, and writes the identity folder.
pub(crate) fn join_consortium(args: &JoinArgs) -> anyhow::Result<ExitCode> {
    let token: JoinToken = read_token(&args.token)?.parse()?;
    let ways = ways(args, &token)?;
    let fingerprint_key = args.fingerprint_key.as_deref().map(read_fingerprint_key).transpose()?;
    let dir = &args.identity;
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let key = joining_key(dir)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    let joined = runtime.block_on(ask(&ways, &token, &key))?;
    keep(dir, &key, &joined, fingerprint_key.as_deref())?;
    let until = time::OffsetDateTime::from(Identity::load(dir)?.certificate().not_after).date();
    println!(
        "joined as {}; the certificate in {} is valid until {until} and renews itself while `run` runs",
        joined.site,
        dir.display()
    );
    if fingerprint_key.is_none() && !dir.join(FINGERPRINT_KEY_FILE).exists() {
        println!(
            "without --fingerprint-key this site cannot take part in studies that look for duplicate patients"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn read_token(given: &str) -> anyhow::Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    std::io::stdin().take(10_000).read_to_string(&mut text).context("no token on standard input")?;
    Ok(text)
}

fn read_fingerprint_key(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let text = text.trim().to_owned();
    if text.len() != FINGERPRINT_KEY_DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("{} is no fingerprint key: it has {FINGERPRINT_KEY_DIGITS} hexadecimal digits", path.display());
    }
    Ok(text)
}

/// The key to ask a certificate for: the one of an earlier try, whose answer may have been lost, or a new one.
fn joining_key(dir: &Path) -> anyhow::Result<OwnKey> {
    finish_replacement(dir)?;
    let path = dir.join(JOINING_KEY_FILE);
    if dir.join(CERTIFICATE_FILE).exists() {
        // Left over where the machine died at the very end of joining.
        std::fs::remove_file(path).ok();
        bail!(
            "{} holds a certificate already: name another folder, or move this one away; nothing was sent",
            dir.display()
        );
    }
    if path.exists() {
        refuse_exposed(&path)?;
        let pem =
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        return OwnKey::from_pem(&pem).with_context(|| format!("{} is damaged: delete it", path.display()));
    }
    let key = OwnKey::generate()?;
    create(&path, &key.to_pem(), Readers::Owner)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(key)
}

/// The ways to each address of the token.
fn ways(args: &JoinArgs, token: &JoinToken) -> anyhow::Result<Vec<Dialler>> {
    let proxy = args.proxy.clone().map(ProxySetting::new);
    let mut problems = Vec::new();
    let mut ways = Vec::new();
    for coordinator in token.addresses() {
        let keys = LinkKeys { coordinator, link: &args.link, tcp_port: args.tcp_port, proxy: proxy.as_ref() };
        let dialler = keys.check(Tuning::default(), &mut problems);
        if !problems.is_empty() {
            bail!("{}", problems.join("; "));
        }
        ways.extend(dialler);
    }
    if ways.iter().any(|way| matches!(&way.proxy, ProxyChoice::This(proxy) if proxy.has_credentials())) {
        bail!(
            "--proxy shows name and password to everybody who lists processes: put them into the variable \
             HTTPS_PROXY instead"
        );
    }
    Ok(ways)
}

/// Tries every address until the coordinator has answered.
async fn ask(ways: &[Dialler], token: &JoinToken, key: &OwnKey) -> anyhow::Result<Joined> {
    let mut failures = Vec::new();
    for way in ways {
        match way.join(token, key).await {
            Ok(joined) => return Ok(joined),
            // The right coordinator has answered: others would say the same.
            Err(refused @ (JoinError::Said(_) | JoinError::Answer(_))) => return Err(refused.into()),
            Err(error) => failures.push(error.to_string()),
        }
    }
    bail!("{}", failures.join("; "))
}

/// Writes what `run` needs. The pair comes last but one: with it the site has joined.
fn keep(dir: &Path, key: &OwnKey, joined: &Joined, fingerprint_key: Option<&str>) -> anyhow::Result<()> {
    let write = |name: &str, text: &str, readers| {
        let path = dir.join(name);
        replace(&path, text, readers).with_context(|| {
            format!("{} cannot be written; mend it and give the same command again", path.display())
        })
    };
    write(CA_FILE, &pem_of(&[&joined.root]), Readers::All)?;
    if let Some(shared) = fingerprint_key {
        write(FINGERPRINT_KEY_FILE, shared, Readers::Owner)?;
    }
    replace_pair(dir, &key.to_pem(), &pem_of(&joined.chain))?;
    std::fs::remove_file(dir.join(JOINING_KEY_FILE)).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_interrupted_try_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = joining_key(dir.path()).unwrap();
        assert_eq!(joining_key(dir.path()).unwrap().public_key(), first.public_key());
        std::fs::write(dir.path().join(JOINING_KEY_FILE), "noise").unwrap();
        assert!(joining_key(dir.path()).unwrap_err().to_string().contains("delete it"));
    }

    #[test]
    fn a_password_on_the_command_line_is_refused_and_not_repeated() {
        let token = JoinToken::generate(vec!["c.example.org:4433".to_owned()], [7; 32]).unwrap();
        let args = |proxy: Option<&str>| JoinArgs {
            token: token.to_string(),
            identity: PathBuf::new(),
            fingerprint_key: None,
            link: "auto".to_owned(),
            tcp_port: Some(443),
            proxy: proxy.map(str::to_owned),
        };
        let refused = ways(&args(Some("http://ada:secret@proxy:3128")), &token).unwrap_err().to_string();
        assert!(refused.contains("HTTPS_PROXY") && !refused.contains("secret"), "{refused}");
        assert!(ways(&args(Some("socks5://proxy")), &token).is_err());
        let ways = ways(&args(Some("off")), &token).unwrap();
        assert_eq!((ways[0].host.as_str(), ways[0].port, ways[0].tcp_port), ("c.example.org", 4433, 443));
        assert_eq!(ways[0].proxy, ProxyChoice::None);
    }

    #[test]
    fn a_folder_that_has_a_certificate_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CERTIFICATE_FILE), "present").unwrap();
        let refused = joining_key(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("holds a certificate already"), "{refused}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_a_fingerprint_key_is_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("given");
        for (text, good) in
            [("0a".repeat(32) + "\n", true), ("0a".repeat(31), false), ("zz".repeat(32), false)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_fingerprint_key(&path).is_ok(), good);
        }
    }
}
