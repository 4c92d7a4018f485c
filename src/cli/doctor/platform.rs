//! One app's platform: whether it is reached, accepts our credentials, and has the templates as they are configured.

use crate::{
    clock::SystemClock,
    config::{App, ENDS_SOON},
    domain::{
        MINUTE, Millis, SECOND,
        consent::Feeds,
        outcome::Outcome,
        template::{Listing, Template},
    },
    findings::{
        Level, Report, Subject,
        books::{instant, told},
    },
    platform::{
        Adapter, Answer, Auth, Request,
        adapter::Unproven,
        facts::Tells,
        transport::{Failure as Unsent, HttpTransport, Transport},
    },
    words::{Message, say},
};
use serde_json::Value;
use std::net::ToSocketAddrs;

/// One app and the way to its platform.
struct Patient<'a> {
    app: &'a App,
    adapter: Box<dyn Adapter>,
    transport: &'a dyn Transport,
}

/// Answers whether the platform could be reached. `listed` is the daemon's list of its templates.
pub async fn look(app: &App, transport: &HttpTransport, listed: Option<&Value>, report: &mut Report) -> bool {
    callback(app, report);
    let by_proxy = app.proxy.as_ref().and_then(|proxy| transport.by(proxy));
    let transport: &dyn Transport = by_proxy.as_deref().unwrap_or(transport);
    let patient = (!app.without_secrets).then(|| Patient { app, adapter: app.adapter(), transport });
    address(app, patient.as_ref(), report);
    if let Some(patient) = &patient {
        patient.terms(report);
    }
    let beyond_token = match &patient {
        Some(patient) => patient.beyond_token(),
        None => vec![say!("check_quota"), say!("check_templates")],
    };
    let mut beyond_reach = vec![say!("check_credentials")];
    beyond_reach.extend(app.platform.lists_addresses.then(|| say!("check_ip_whitelist")));
    beyond_reach.push(say!("check_clock"));
    let skip = |report: &mut Report, all: &[Message], why: Message| {
        all.iter().for_each(|what| report.skipped(Subject::of(app, what.clone()), why.clone()));
    };
    if !name_is_found(app, report).await {
        skip(report, &[say!("check_reach")], say!("platform_out_of_reach"));
        skip(report, &beyond_reach, say!("platform_out_of_reach"));
        skip(report, &beyond_token, say!("platform_out_of_reach"));
        return false;
    }
    if patient.is_none() && app.proxy.is_some() {
        // Without its credentials, perhaps, a proxy lets nobody through.
        skip(report, &[say!("check_reach")], say!("secrets_passed_over"));
        skip(report, &beyond_reach, say!("secrets_passed_over"));
        skip(report, &beyond_token, say!("secrets_passed_over"));
        return true;
    }
    // Without tokens any answer shows that the platform is reached, and what time it is.
    let tokens = patient.as_ref().and_then(|patient| patient.adapter.tokens());
    let call = tokens.map_or_else(|| Request::get(app.base_url.clone()), |tokens| tokens.request(false));
    let answer = match transport.call(call).await {
        Ok(answer) => answer,
        Err(Unsent::NotSent(cause) | Unsent::Unknown(cause)) => {
            let subject = Subject::of(app, say!("check_reach"));
            report.add(subject, Level::Failed, cause, say!("look_into_firewall"));
            skip(report, &beyond_reach, say!("platform_out_of_reach"));
            skip(report, &beyond_token, say!("platform_out_of_reach"));
            return false;
        }
    };
    report.ok(Subject::of(app, say!("check_reach")), say!("http_status", status = answer.status));
    clock(app, &answer, report);
    let Some(patient) = &patient else {
        // The clock has just been looked at.
        beyond_reach.pop();
        skip(report, &beyond_reach, say!("secrets_passed_over"));
        skip(report, &beyond_token, say!("secrets_passed_over"));
        return true;
    };
    if !patient.by_answer(&answer, listed, report).await {
        skip(report, &beyond_token, say!("no_token"));
    }
    true
}

/// Whether what goes to the platform can be read on the way. Without tokens no secret goes there.
fn address(app: &App, patient: Option<&Patient<'_>>, report: &mut Report) {
    let has_token = patient.is_none_or(|patient| patient.adapter.tokens().is_some());
    report.judge(
        Subject::of(app, say!("check_address")),
        app.base_url.starts_with("https://"),
        Level::Warning,
        Message::text(&app.base_url),
        if has_token { say!("use_tls") } else { say!("use_tls_for_messages") },
    );
}

fn callback(app: &App, report: &mut Report) {
    let subject = Subject::of(app, say!("check_callback"));
    // One that pushes nothing has nothing to be checked.
    let Some(pushes) = &app.platform.pushes else { return };
    match &app.callback {
        None if pushes.tells == Tells::NOTHING => {}
        Some(_) if pushes.tells == Tells::NOTHING => report.ok(subject, say!("callback_means_nothing", app = app.name)),
        None => {
            let fix = say!("add_callback", app = app.name, example = pushes.example());
            let found = match app.platform.doubt.sends_receipts {
                true => say!("no_callback"),
                false => say!("no_callback_of_failures"),
            };
            report.add(subject, Level::Warning, found, fix);
        }
        Some(secrets) if app.platform.pushes_in_clear(secrets) => {
            report.add(subject, Level::Warning, say!("callback_in_clear"), say!("choose_secure_mode"));
        }
        Some(_) => {
            let feeds = match app.consents {
                Feeds::Client => say!("taps_by_client"),
                Feeds::Callback => say!("taps_by_platform"),
                Feeds::Reconcile => say!("taps_by_both"),
            };
            report.ok(
                subject,
                if pushes.encrypts() {
                    say!("callback_encrypted", app = app.name, feeds = feeds)
                } else {
                    say!("callback_signed", app = app.name, feeds = feeds)
                },
            );
        }
    }
}

/// Whether the platform's name leads to an address; behind a proxy, whether the proxy's does: names beyond are the proxy's affair.
async fn name_is_found(app: &App, report: &mut Report) -> bool {
    if let Some(proxy) = &app.proxy {
        report.ok(Subject::of(app, say!("check_way")), say!("way_by_proxy", proxy = proxy.url));
    }
    let url = reqwest::Url::parse(app.proxy.as_ref().map_or(&app.base_url, |proxy| &proxy.url)).ok();
    let host =
        url.and_then(|url| Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port_or_known_default()?)));
    // The configuration takes only a URL with a host.
    let Some((host, port)) = host else { return true };
    let asked = (host.clone(), port);
    let found = tokio::task::spawn_blocking(move || asked.to_socket_addrs().map(Iterator::count)).await;
    let subject = Subject::of(app, say!("check_dns"));
    match found.unwrap_or(Ok(0)) {
        Ok(n) if n > 0 => report.ok(subject, say!("host_found", host = host, n = n)),
        Ok(_) => {
            report.add(subject, Level::Failed, say!("host_without_address", host = host), say!("look_into_name"));
        }
        Err(e) => {
            let found = say!("host_not_found", host = host, why = e.to_string());
            report.add(subject, Level::Failed, found, say!("look_into_resolver"));
            return false;
        }
    }
    true
}

fn clock(app: &App, answer: &Answer, report: &mut Report) {
    let subject = Subject::of(app, say!("check_clock"));
    let Some(date) = answer.date else { return report.skipped(subject, say!("no_platform_time")) };
    let off: Millis = SystemClock::shared().now() - date;
    // A Date has whole seconds, and took its time to come.
    let level = if off.abs() > MINUTE { Level::Failed } else { Level::Warning };
    let found = say!("clock_off_by", s = off / SECOND);
    report.judge(subject, off.abs() <= 5 * SECOND, level, found, say!("start_time_service"));
}

impl Patient<'_> {
    /// Goes on from the first answer: a token, where the platform gives them. Answers whether it could go on.
    async fn by_answer(&self, answer: &Answer, listed: Option<&Value>, report: &mut Report) -> bool {
        let app = self.app;
        let auth = match self.adapter.tokens().map(|tokens| tokens.read(answer)) {
            None => {
                self.proof(report).await;
                Auth::Nothing
            }
            Some(Ok(granted)) => {
                report.ok(Subject::of(app, say!("check_credentials")), say!("token_for", left = granted.lives));
                if app.platform.lists_addresses {
                    report.ok(Subject::of(app, say!("check_ip_whitelist")), say!("address_allowed"));
                }
                Auth::Token(granted.token)
            }
            Some(Err(outcome)) => {
                self.refused(outcome, report);
                return false;
            }
        };
        self.quota(&auth, report).await;
        self.templates(&auth, listed, report).await;
        true
    }

    fn subject(&self, what: Message) -> Subject {
        Subject::of(self.app, what)
    }

    /// What is asked with a token. What the platform does not tell anyway is not missed.
    fn beyond_token(&self) -> Vec<Message> {
        let quota = self.adapter.quotas().map(|_| say!("check_quota"));
        quota.into_iter().chain(self.adapter.listings().map(|_| say!("check_templates"))).collect()
    }

    /// Until when its certificates are good. One that has ended is told with the configuration, which is not right then.
    fn terms(&self, report: &mut Report) {
        let now = SystemClock::shared().now();
        for (key, at) in self.adapter.secrets_end() {
            let subject = self.subject(say!("check_term", key = key));
            let found = say!("good_until", at = at);
            report.judge(subject, *at > now + ENDS_SOON, Level::Warning, found, say!("renew_certificate"));
        }
    }

    /// Whether the platform and the app believe each other, where no token shows it.
    async fn proof(&self, report: &mut Report) {
        let Some(proofs) = self.adapter.proofs() else { return };
        let subject = self.subject(say!("check_credentials"));
        let answer = match self.transport.call(proofs.request(SystemClock::shared().now())).await {
            Ok(answer) => answer,
            Err(Unsent::NotSent(why) | Unsent::Unknown(why)) => {
                return report.add(subject, Level::Warning, say!("cannot_be_asked", why = why), say!("try_later"));
            }
        };
        match proofs.read(&answer) {
            Ok(()) => report.ok(subject, say!("each_believes_the_other")),
            Err(Unproven::Ours { code, text }) => {
                let meaning = self.app.platform.meaning(&code);
                let found = say!("platform_said", code = code, text = text);
                report.add(subject, Level::Failed, found, meaning.unwrap_or_else(|| say!("code_unknown")));
            }
            Err(Unproven::Theirs(why)) => report.add(subject, Level::Failed, why, say!("replace_platform_key")),
            Err(Unproven::Untold(why)) => {
                report.add(subject, Level::Warning, say!("cannot_be_asked", why = why), say!("try_later"));
            }
        }
    }

    /// Why there is no token.
    fn refused(&self, outcome: Outcome, report: &mut Report) {
        let credentials = self.subject(say!("check_credentials"));
        let whitelist = self.subject(say!("check_ip_whitelist"));
        let skipped = |report: &mut Report| {
            if self.app.platform.lists_addresses {
                report.skipped(whitelist.clone(), say!("no_token"));
            }
        };
        let Outcome::Answered { code, text, .. } = outcome else {
            let found = say!("token_answer_unreadable");
            report.add(credentials, Level::Failed, found, say!("look_into_base_url"));
            return skipped(report);
        };
        if let Some(seen) = self.adapter.refused_address(&code, &text) {
            report.skipped(credentials, say!("address_refused_first"));
            let fix = say!("allow_address", address = seen, appid = self.app.appid);
            return report.add(whitelist.clone(), Level::Failed, say!("address_refused", address = seen), fix);
        }
        let meaning = self.app.platform.meaning(&code);
        let found = say!("platform_said", code = code, text = text);
        report.add(credentials, Level::Failed, found, meaning.unwrap_or_else(|| say!("code_unknown")));
        skipped(report);
    }

    /// Asks the platform one question with a token. A failure is only a warning, since sends may work all the same.
    async fn ask<T>(
        &self,
        what: Message,
        request: Request,
        read: impl Fn(&Answer) -> Result<T, Outcome>,
        report: &mut Report,
    ) -> Option<T> {
        let why = match self.transport.call(request).await {
            Ok(answer) => match read(&answer) {
                Ok(value) => return Some(value),
                Err(Outcome::Answered { code, text, .. }) => say!("platform_said", code = code, text = text),
                Err(Outcome::Unknown { cause } | Outcome::NotSent { cause }) => cause,
                Err(Outcome::Accepted { .. }) => Message::text(""),
            },
            Err(Unsent::NotSent(cause) | Unsent::Unknown(cause)) => cause,
        };
        report.add(self.subject(what), Level::Warning, say!("cannot_be_asked", why = why), say!("try_later"));
        None
    }

    async fn quota(&self, auth: &Auth, report: &mut Report) {
        let Some(quotas) = self.adapter.quotas() else { return };
        let request = quotas.request(auth, SystemClock::shared().now());
        let read = |answer: &Answer| quotas.read(answer);
        let Some(quota) = self.ask(say!("check_quota"), request, read, report).await else { return };
        report.judge(
            self.subject(say!("check_quota")),
            quota.left * 10 > quota.limit,
            if quota.left <= 0 { Level::Failed } else { Level::Warning },
            say!("quota_left", left = quota.left, most = quota.limit),
            say!("spread_sends"),
        );
        if let Some((calls, seconds)) = quota.rate {
            let (rate, most) = (self.app.rate, calls / seconds.max(1));
            report.judge(
                self.subject(say!("check_rate")),
                i64::from(rate) <= most,
                Level::Warning,
                say!("rate_allowed", rate = rate, calls = calls, seconds = seconds),
                say!("lower_rate", most = most),
            );
        }
    }

    /// By the daemon's list if it has one, since the platforms answer this a few times a day only.
    async fn templates(&self, auth: &Auth, listed: Option<&Value>, report: &mut Report) {
        let app = self.app;
        let known = listed.and_then(|listed| listed["templates"].as_array()).into_iter().flatten();
        let known: Vec<&Value> =
            known.filter(|t| t["app"] == app.name.as_str() && t["listed_at"].is_string()).collect();
        let (when, differences): (Message, Vec<(&Template, Vec<Message>)>) = if known.is_empty() {
            let Some(listings) = self.adapter.listings() else { return };
            let request = listings.request(auth, SystemClock::shared().now());
            let read = |answer: &Answer| listings.read(answer);
            let Some(templates) = self.ask(say!("check_templates"), request, read, report).await else { return };
            let listing = Listing { read_at: 0, templates };
            let of = |t: &Template| listing.differences(t);
            (say!("asked_now"), app.templates.iter().map(|t| (t, of(t))).collect())
        } else {
            let of = |t: &Template| -> Vec<Message> {
                let entry = known.iter().find(|entry| entry["id"] == t.code.as_str());
                entry.and_then(|entry| entry["out_of_step"].as_array()).into_iter().flatten().map(told).collect()
            };
            let when = say!("daemon_asked_at", at = instant(&known[0]["listed_at"]));
            (when, app.templates.iter().map(|t| (t, of(t))).collect())
        };
        for (template, why) in &differences {
            let which = template.name.as_deref().unwrap_or(&template.code);
            for why in why {
                let found = say!("template_differs", template = which, why = why);
                report.add(self.subject(say!("check_templates")), Level::Failed, found, say!("mend_template"));
            }
        }
        let (good, all) = (differences.iter().filter(|(_, why)| why.is_empty()).count(), app.templates.len());
        report.judge(
            self.subject(say!("check_templates")),
            good == all,
            Level::Warning,
            say!("templates_in_step", good = good, all = all, when = when),
            say!("mend_those_above"),
        );
    }
}
