//! The live page: what every machine is doing, rendered here and refreshed by server-sent events.
//!
//! The page is whole without its script. With it, the server sends those pieces of it that changed,
//! rendered by the same templates, and the script puts them into place. It can be looked at only:
//! nothing on it changes a machine.

mod live;
mod view;

use crate::api::{COOKIE, Reader, cookie_token};
use crate::app::App;
use crate::fleet::Member;
use crate::problem::Problem;
use axum::extract::{FromRequestParts as _, Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use hostwright_model::ids::RunId;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};
use view::MachineView;

/// Everything comes from this server, scripts above all.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'";

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_filter("bytes", view::bytes);
    templates.add_filter("lasted", view::lasted);
    templates.add_filter("clock", clock);
    for (name, text) in [
        ("base.html", include_str!("assets/base.html")),
        ("index.html", include_str!("assets/index.html")),
        ("login.html", include_str!("assets/login.html")),
        ("machine.html", include_str!("assets/machine.html")),
        ("monitored.html", include_str!("assets/monitored.html")),
        ("progress.html", include_str!("assets/progress.html")),
        ("run.html", include_str!("assets/run.html")),
        ("summary.html", include_str!("assets/summary.html")),
        ("unknown.html", include_str!("assets/unknown.html")),
    ] {
        templates.add_template(name, text).expect("invariant: the templates are sound");
    }
    templates.add_global("version", env!("CARGO_PKG_VERSION"));
    templates
});

/// A time of the day, in UTC.
fn clock(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The routes of the page.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new()
        .route("/", get(index))
        .route("/runs/{id}", get(run))
        .route("/page/live", get(live::events))
        .route("/page/login", post(login));
    for (path, kind, text) in [
        ("/page/style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
        ("/page/live.js", "text/javascript; charset=utf-8", include_str!("assets/live.js")),
        ("/page/log.js", "text/javascript; charset=utf-8", include_str!("assets/log.js")),
        ("/page/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ] {
        let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")];
        router = router.route(path, get(move || async move { (headers, text) }));
    }
    router.with_state(Arc::clone(app))
}

/// All machines.
async fn index(State(app): State<Arc<App>>, request: Request) -> Response {
    if let Some(refusal) = not_a_reader(&app, request).await {
        return refusal;
    }
    let shown = Shown::now(&app);
    page("index.html", shown.values())
}

/// One run and its log.
async fn run(State(app): State<Arc<App>>, Path(id): Path<RunId>, request: Request) -> Response {
    if let Some(refusal) = not_a_reader(&app, request).await {
        return refusal;
    }
    match member_of(&app, &id).await {
        Ok(member) => {
            let machine = MachineView::new(&member, app.now_ms());
            let facts = member.machine.facts.as_ref().map(view::facts).unwrap_or_default();
            let machine = value(machine);
            page("run.html", context! { machine, facts => value(facts) })
        }
        Err(problem) => problem.into_response(),
    }
}

/// A machine as it was in a run: its latest, or an earlier one.
async fn member_of(app: &App, id: &RunId) -> Result<Member, Problem> {
    let run = app.state.run(id).await?.ok_or_else(|| Problem::no_run(id))?;
    let mut member = app.member(&run.machine)?;
    let latest = member.machine.run.as_ref().is_some_and(|latest| latest.id == *id);
    if !latest {
        member.progress = app.progress(id).await?;
        member.machine.run = Some(run);
        // What is known of the hardware is from a later run.
        member.machine.facts = None;
        member.boot = None;
        member.skew_ms = 0;
    }
    Ok(member)
}

/// What the index shows.
struct Shown {
    machines: Vec<MachineView>,
    unknown: Vec<view::UnknownView>,
    monitored: Vec<view::MonitoredView>,
    space: String,
}

impl Shown {
    fn now(app: &App) -> Self {
        let now_ms = app.now_ms();
        let members = app.fleet.members();
        Self {
            machines: members.iter().map(|member| MachineView::new(member, now_ms)).collect(),
            unknown: view::unknown(app.fleet.unknown()),
            monitored: view::monitored(app.monitor.machines()),
            space: app.config.spaces.keys().next().cloned().unwrap_or_else(|| "SPACE".to_owned()),
        }
    }

    fn values(&self) -> Value {
        let Self { machines, unknown, monitored, space } = self;
        let monitored = value(monitored);
        let counts = value(view::counts(machines));
        let machines = value(machines);
        context! { machines, unknown => value(unknown), monitored, space, counts }
    }
}

/// One of our views as the templates see it.
fn value(view: impl Serialize) -> Value {
    Value::from(Serde(view))
}

/// Renders a template; ours cannot fail on our values, and if one does the log says why.
fn render(template: &str, values: Value) -> String {
    let rendered = TEMPLATES.get_template(template).and_then(|found| found.render(values));
    rendered.unwrap_or_else(|error| {
        tracing::error!(template, %error, "cannot render a page");
        "<p>This page cannot be shown; the server's log says why.</p>".to_owned()
    })
}

fn page(template: &str, values: Value) -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    (headers, Html(render(template, values))).into_response()
}

/// The login form, for those who may not look yet.
async fn not_a_reader(app: &Arc<App>, request: Request) -> Option<Response> {
    let (mut parts, _) = request.into_parts();
    if Reader::from_request_parts(&mut parts, app).await.is_ok() {
        return None;
    }
    let refused = cookie_token(&parts).is_some();
    let mut response = page("login.html", context! { refused });
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    Some(response)
}

/// What the login form sends.
#[derive(Deserialize)]
struct Login {
    token: String,
}

/// Keeps the token in the browser until it is closed.
async fn login(Form(login): Form<Login>) -> Response {
    // Anything else could end the header, or the cookie.
    let token: String = login.token.chars().filter(char::is_ascii_alphanumeric).collect();
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
    let headers = [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}
