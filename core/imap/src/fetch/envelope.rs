//! ENVELOPE ([RFC 3501 §7.4.2]).

use sigillo_mail::header::HeaderSection;

use super::address::{Address, parse};
use super::unfold;
use crate::output::Output;

/// Writes the structure: date, subject, from, sender, reply-to, to, cc, bcc, in-reply-to, message-id.
pub(crate) fn write(header: &HeaderSection, out: &mut Output<'_>) {
    out.raw(b"(");
    write_text(header, "Date", out);
    out.raw(b" ");
    write_text(header, "Subject", out);
    let from = addresses(header, "From");
    for name in ["From", "Sender", "Reply-To"] {
        let own = addresses(header, name);
        // RFC 3501 §7.4.2: an absent or empty one is that of From.
        write_addresses(if own.is_empty() { &from } else { &own }, out);
    }
    for name in ["To", "Cc", "Bcc"] {
        write_addresses(&addresses(header, name), out);
    }
    out.raw(b" ");
    write_text(header, "In-Reply-To", out);
    out.raw(b" ");
    write_text(header, "Message-ID", out);
    out.raw(b")");
}

fn write_text(header: &HeaderSection, name: &str, out: &mut Output<'_>) {
    out.nstring(header.raw(name, 0).map(unfold).as_deref());
}

fn addresses(header: &HeaderSection, name: &str) -> Vec<Address> {
    let fields = header.fields().filter(|f| f.name.eq_ignore_ascii_case(name));
    fields.flat_map(|f| parse(f.value)).collect()
}

fn write_addresses(addresses: &[Address], out: &mut Output<'_>) {
    if addresses.is_empty() {
        return out.raw(b" NIL");
    }
    out.raw(b" (");
    for address in addresses {
        out.raw(b"(");
        out.nstring(address.name.as_deref());
        out.raw(b" ");
        out.nstring(address.route.as_deref());
        out.raw(b" ");
        out.nstring(address.mailbox.as_deref());
        out.raw(b" ");
        out.nstring(address.host.as_deref());
        out.raw(b")");
    }
    out.raw(b")");
}
