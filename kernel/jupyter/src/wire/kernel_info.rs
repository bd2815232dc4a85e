//! `kernel_info_reply`.

use super::PROTOCOL_VERSION;
use crate::settings::About;
use jupyter_protocol::{HelpLink, LanguageInfo, ReplyStatus};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct KernelInfoReply<'a> {
    status: ReplyStatus,
    protocol_version: &'static str,
    implementation: &'a str,
    implementation_version: &'a str,
    language_info: &'a LanguageInfo,
    banner: &'a str,
    debugger: bool,
    supported_features: &'static [&'static str],
    help_links: &'a [HelpLink],
}

impl<'a> From<&'a About> for KernelInfoReply<'a> {
    fn from(about: &'a About) -> Self {
        Self {
            status: ReplyStatus::Ok,
            protocol_version: PROTOCOL_VERSION,
            implementation: &about.implementation,
            implementation_version: &about.implementation_version,
            language_info: &about.language,
            banner: &about.banner,
            debugger: false,
            // The specification has two features, a debugger and subshells; neither is supported.
            supported_features: &[],
            help_links: &about.help_links,
        }
    }
}
