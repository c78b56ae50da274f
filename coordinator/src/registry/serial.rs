//! A certificate's serial number as people give it.

/// Most bytes of a serial number (RFC 5280), and the zero that DER puts before a high first bit.
const MOST_BYTES: usize = 21;

/// The serial number in `text` as certificates are asked for it: lower case, with colons, as many bytes as in DER. OpenSSL
/// prints it in upper case, without colons and without the zero that DER puts before a high first bit.
pub fn serial_of(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|&c| c != ':').collect();
    let even = text.len().is_multiple_of(2);
    if text.is_empty() || !even || text.len() > 2 * MOST_BYTES || !text.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let mut bytes: Vec<&str> = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]).collect();
    while bytes.len() > 1 && bytes[0] == "00" {
        bytes.remove(0);
    }
    if bytes[0] >= "80" {
        bytes.insert(0, "00");
    }
    Some(bytes.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_number_names_the_same_certificate() {
        for text in ["0B1C", "0b:1c", " 0b1c\n", "00:0b:1c"] {
            assert_eq!(serial_of(text).as_deref(), Some("0b:1c"), "{text}");
        }
        assert_eq!(serial_of("BE:EF").as_deref(), Some("00:be:ef"), "as DER writes it");
        assert_eq!(serial_of("00").as_deref(), Some("00"));
        for text in ["", "b1c", "0x0b", "st-elsewhere", &"ab".repeat(22)] {
            assert_eq!(serial_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_certificate_is_found_by_the_number_it_shows() {
        let kit = consilium_certs::Authority::create("North").unwrap().issue_admin(&"ada".parse().unwrap());
        let chain = consilium_pki::certificates_of(&kit.unwrap().certificate_pem).unwrap();
        let shown = consilium_pki::CertificateFacts::of(&chain[0]).unwrap().serial;
        assert_eq!(serial_of(&shown.to_uppercase().replace(':', "")), Some(shown));
    }
}
