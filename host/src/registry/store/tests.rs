//! The registry on a coordinator in memory, with lost replies and lost sessions.

mod deleted;

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::sync::watch;

use super::*;
use crate::clock;
use crate::coordinator::{Coordinator, CreateMode, Embedded};
use crate::registry::{
    Build, CatchUpRule, Digest, Followed, KeptPolicies, Limit, Limits, Names, OnReturn, OverlapRule, PauseOrder,
    PolicySpec, ScheduleSpec, TenantSettings, Tenants, TermRules, Trigger,
};
use crate::registry::{Jobs, Signers};

struct Place {
    embedded: Arc<Embedded>,
    sessions: Sessions,
    layout: Layout,
    registry: Registry,
}

impl Place {
    async fn new() -> Self {
        let embedded = Arc::new(Embedded::in_memory(clock::system(), Duration::from_secs(6)));
        let coordinator: Arc<dyn Coordinator> = embedded.clone();
        let sessions = Sessions::open(coordinator, PATIENCE).await.unwrap();
        let layout = Layout::new("/zoo");
        let registry = Registry::new(sessions.clone(), layout.clone());
        Place { embedded, sessions, layout, registry }
    }

    async fn session(&self) -> Arc<dyn Session> {
        self.sessions.get(PATIENCE).await.unwrap()
    }
}

fn spec(tenant: &str, name: &str, component: &str) -> JobSpec {
    JobSpec {
        id: JobId::new(tenant, name).unwrap(),
        component: Digest::of(component.as_bytes()),
        trigger: Trigger::Leader {
            election: None,
            names: Names::Kazoo,
            on_return: OnReturn::Requeue,
            rules: TermRules::default(),
        },
        limits: Limits::LEADER,
        config: BTreeMap::new(),
        secrets: Default::default(),
        http: Default::default(),
        paused: None,
    }
}

fn applied(version: i32, change: Change) -> Result<Applied, RegistryError> {
    Ok(Applied { version, change })
}

async fn until(jobs: &mut watch::Receiver<Jobs>, wanted: impl Fn(&Jobs) -> bool) {
    let reached = jobs.wait_for(|jobs| wanted(jobs));
    tokio::time::timeout(Duration::from_secs(20), reached).await.expect("the map follows").unwrap();
}

#[tokio::test]
async fn a_job_is_created_changed_and_left_alone() {
    let place = Place::new().await;
    let first = spec("acme", "publisher", "one");
    assert_eq!(place.registry.get(&first.id).await, Err(RegistryError::NoJob(first.id.clone())));
    assert_eq!(place.registry.apply(&first).await, applied(0, Change::Created));
    let second = spec("acme", "publisher", "two");
    assert_eq!(place.registry.apply(&second).await, applied(1, Change::Updated));
    assert_eq!(place.registry.apply(&second).await, applied(1, Change::Unchanged));
    let stored = place.registry.get(&second.id).await.unwrap();
    assert_eq!((stored.spec, stored.version), (second.clone(), 1));

    place.registry.apply(&spec("other", "a", "a")).await.unwrap();
    let listed = place.registry.list().await.unwrap();
    assert_eq!(listed.keys().map(JobId::to_string).collect::<Vec<_>>(), ["acme/publisher", "other/a"]);
}

fn pause(note: &str) -> Pause {
    let order = PauseOrder { by: "ada".to_owned(), note: note.to_owned() };
    order.at(Timestamp::UNIX_EPOCH, "publisher").unwrap()
}

#[test]
fn a_component_is_built_to_last_for_a_leader_and_to_be_metered_for_who_has_fuel() {
    let leading = spec("acme", "publisher", "one");
    let trigger = Trigger::Schedule { times: ScheduleSpec::new("@every 1h"), policies: KeptPolicies::default() };
    let metered = Limits::SCHEDULED.with(Limit::Fuel, 1000);
    let ticking = JobSpec { trigger, limits: Limits::SCHEDULED, ..leading.clone() };
    let counting = JobSpec { limits: metered, ..ticking.clone() };
    for (job, metered, lasting) in [(&leading, false, true), (&ticking, false, false), (&counting, true, false)] {
        assert_eq!(job.build(), Build { digest: leading.component.clone(), metered, lasting });
    }
}

#[tokio::test]
async fn what_a_job_is_run_by_is_not_changed() {
    let place = Place::new().await;
    let leading = spec("acme", "publisher", "one");
    place.registry.apply(&leading).await.unwrap();
    let times = ScheduleSpec::new("@every 1h");
    let trigger = Trigger::Schedule { times, policies: KeptPolicies::default() };
    let ticking = JobSpec { trigger, limits: Limits::SCHEDULED, ..leading.clone() };
    let refused = place.registry.apply(&ticking).await.unwrap_err();
    let why =
        "job `acme/publisher`: trigger `schedule` is not valid: it is `leader`, and stays so until the job is deleted";
    assert_eq!(refused.to_string(), why);
    assert_eq!(place.registry.get(&leading.id).await.unwrap().spec, leading);
    place.registry.delete(&leading.id).await.unwrap();
    place.registry.apply(&ticking).await.unwrap();
    assert_eq!(place.registry.get(&leading.id).await.unwrap().spec, ticking);
}

/// Whoever may name a queue there leads what others run.
#[tokio::test]
async fn no_job_stands_in_the_clusters_own_place() {
    let place = Place::new().await;
    let standing_at = |path: &str| {
        let mut spec = spec("acme", "job", "a");
        let Trigger::Leader { election, .. } = &mut spec.trigger else { unreachable!("it is a leader job") };
        *election = Some(path.to_owned());
        spec
    };
    for path in ["/zoo", "/zoo/groups/0007", "/zoo/elections/other/job", "/zoo/hosts"] {
        let refused = place.registry.apply(&standing_at(path)).await.unwrap_err().to_string();
        let why = "what is below `/zoo` is the cluster's own";
        assert_eq!(refused, format!("job `job`: election `{path}` is not valid: {why}"));
    }
    for path in ["/zoology", "/app/zoo", "/zoo/elections/acme/job"] {
        place.registry.apply(&standing_at(path)).await.unwrap();
    }
}

#[tokio::test]
async fn a_pause_is_kept_until_the_job_is_resumed_or_stored_without_it() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    let paused = async || place.registry.get(&job.id).await.unwrap().spec.paused;
    assert_eq!(place.registry.pause(&job.id, pause("")).await, Err(RegistryError::NoJob(job.id.clone())));
    place.registry.apply(&job).await.unwrap();
    assert_eq!(place.registry.pause(&job.id, pause("first")).await, applied(1, Change::Updated));
    assert_eq!(place.registry.pause(&job.id, pause("second")).await, applied(2, Change::Updated));
    assert_eq!(paused().await, Some(Box::new(pause("second"))));

    let resting = JobSpec { paused: Some(Box::new(Pause::by_job_toml())), ..job.clone() };
    assert_eq!(place.registry.apply(&resting).await, applied(2, Change::Unchanged));
    let changed = JobSpec { component: Digest::of(b"two"), ..resting };
    assert_eq!(place.registry.apply(&changed).await, applied(3, Change::Updated));
    assert_eq!(
        paused().await,
        Some(Box::new(pause("second"))),
        "a file that says no more than that it rests keeps the note"
    );
    assert_eq!(place.registry.apply(&job).await, applied(4, Change::Updated));
    assert_eq!(paused().await, None);
}

#[tokio::test]
async fn a_resumption_always_writes_the_job_and_nothing_of_it_but_the_pause() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    let created = place.registry.get(&job.id).await.unwrap();
    assert_eq!(place.registry.resume(&job.id, PassedOver::Skipped).await, applied(1, Change::Updated));
    let resumed = place.registry.get(&job.id).await.unwrap();
    assert!(resumed.mzxid > created.mzxid && resumed.mtime_ms >= created.mtime_ms);
    assert_eq!(resumed.spec, job);
}

/// One change after another may be asked to pass nothing over, and one that isn't ends that.
#[tokio::test]
async fn a_job_remembers_from_when_on_it_ticks() {
    let place = Place::new().await;
    let ticking = |policies: PolicySpec| {
        let trigger =
            Trigger::Schedule { times: ScheduleSpec::new("@every 1h"), policies: KeptPolicies::from(policies) };
        JobSpec { trigger, limits: Limits::SCHEDULED, ..spec("acme", "nightly", "one") }
    };
    let (job, all) = (
        ticking(PolicySpec::default()),
        PolicySpec { catch_up: CatchUpRule::All, overlap: OverlapRule::QueueAll, ..PolicySpec::default() },
    );
    let stored = async || place.registry.get(&job.id).await.unwrap();
    place.registry.apply_with(&job, PassedOver::CaughtUp).await.unwrap();
    assert_eq!(stored().await.ticks_from_ms, None, "a new job has nothing to catch up with");
    place.registry.pause(&job.id, pause("for a while")).await.unwrap();
    let paused = stored().await;
    assert_eq!(paused.ticks_from_ms, None);
    place.registry.resume(&job.id, PassedOver::CaughtUp).await.unwrap();
    assert_eq!(stored().await.ticks_from_ms, Some(paused.mtime_ms));
    let changed = ticking(all);
    place.registry.apply_with(&changed, PassedOver::CaughtUp).await.unwrap();
    assert_eq!((stored().await.ticks_from_ms, stored().await.spec), (Some(paused.mtime_ms), changed));
    place.registry.apply(&job).await.unwrap();
    assert_eq!(stored().await.ticks_from_ms, None);

    // Where nothing of it would run, that is said before anything is stored.
    let never = ticking(PolicySpec { catch_up: CatchUpRule::None, ..PolicySpec::default() });
    let refused = place.registry.apply_with(&never, PassedOver::CaughtUp).await.unwrap_err();
    let why = "job `acme/nightly`: catch_up `none` is not valid where missed ticks are to be caught up with";
    assert_eq!(refused.to_string(), why);
    assert_eq!(stored().await.spec, job);
    let leading = spec("acme", "publisher", "one");
    place.registry.apply(&leading).await.unwrap();
    let refused = place.registry.resume(&leading.id, PassedOver::CaughtUp).await.unwrap_err();
    let why = "job `acme/publisher`: trigger `leader` is not valid where missed ticks are to be caught up with";
    assert_eq!(refused.to_string(), why);
}

#[tokio::test]
async fn a_pause_and_a_resumption_are_done_once_where_the_reply_is_lost() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    let lose = async || place.embedded.lose_replies(place.session().await.id(), 1).await.unwrap();
    lose().await;
    assert_eq!(place.registry.pause(&job.id, pause("once")).await, applied(1, Change::Updated));
    lose().await;
    assert_eq!(place.registry.resume(&job.id, PassedOver::Skipped).await, applied(2, Change::Updated));
}

#[tokio::test]
async fn a_job_that_was_paused_by_an_earlier_program_is_still_read() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    let mut stored = serde_json::to_value(&job).unwrap();
    stored["paused"] = true.into();
    let node = place.layout.job("acme", "publisher");
    place.session().await.set(&node, stored.to_string().as_bytes(), None).await.unwrap();
    let read = place.registry.get(&job.id).await.unwrap().spec.paused.unwrap();
    assert_eq!((read.by.as_str(), read.at, read.note.as_str()), ("unknown", None, ""));
}

#[tokio::test]
async fn every_job_of_a_tenant_gets_a_place_for_its_keys() {
    let place = Place::new().await;
    for name in ["first", "second"] {
        place.registry.apply(&spec("acme", name, "one")).await.unwrap();
        let keys = place.layout.state("acme", name);
        assert!(place.session().await.stat(&keys).await.unwrap().is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_lost_reply_changes_a_job_once() {
    let place = Place::new().await;
    let first = spec("acme", "publisher", "one");
    place.registry.apply(&spec("acme", "other", "one")).await.unwrap();
    place.embedded.lose_replies(place.session().await.id(), 1).await.unwrap();
    assert_eq!(place.registry.apply(&first).await, applied(0, Change::Created));
    place.embedded.lose_replies(place.session().await.id(), 1).await.unwrap();
    assert_eq!(place.registry.apply(&spec("acme", "publisher", "two")).await, applied(1, Change::Updated));
    place.embedded.lose_replies(place.session().await.id(), 1).await.unwrap();
    assert_eq!(place.registry.delete(&first.id).await, Ok(()));
    assert_eq!(place.registry.delete(&first.id).await, Err(RegistryError::NoJob(first.id)));
}

#[tokio::test]
async fn a_deleted_job_leaves_no_tick_state_and_no_keys() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    let session = place.session().await;
    let run_state = place.layout.run_state("acme", "publisher");
    session.set(&run_state, b"{}", None).await.unwrap();
    for key in 0..DELETES + 3 {
        let node = place.layout.state_key("acme", "publisher", &format!("key/{key}")).unwrap();
        session.create(&node, b"v", CreateMode::Persistent).await.unwrap();
    }
    place.registry.delete(&job.id).await.unwrap();
    for path in [run_state, place.layout.state("acme", "publisher"), place.layout.job("acme", "publisher")] {
        assert_eq!(session.stat(&path).await, Ok(None), "{path}");
    }
    assert_eq!(place.registry.apply(&job).await, applied(0, Change::Created));
}

#[tokio::test]
async fn followers_see_every_change_also_over_a_lost_session() {
    let place = Place::new().await;
    let mut jobs = place.registry.follow().await;
    assert_eq!(jobs.borrow().values().count(), 0);
    let first = spec("acme", "publisher", "one");
    place.registry.apply(&first).await.unwrap();
    until(&mut jobs, |jobs| jobs.contains_key(&first.id)).await;

    let second = spec("acme", "publisher", "two");
    place.registry.apply(&second).await.unwrap();
    until(&mut jobs, |jobs| jobs[&first.id].spec == second).await;

    place.embedded.expire(place.session().await.id()).await.unwrap();
    let third = spec("zoo", "keeper", "three");
    place.registry.apply(&third).await.unwrap();
    place.registry.delete(&first.id).await.unwrap();
    until(&mut jobs, |jobs| jobs.values().count() == 1 && jobs.contains_key(&third.id)).await;
}

#[tokio::test]
async fn what_tenants_are_set_follows_changes_beside_the_jobs_also_across_a_lost_session() {
    let place = Place::new().await;
    let first = TenantSettings { max_running: Some(3), ..TenantSettings::default() };
    place.registry.set_tenant("acme", &first).await.unwrap();
    let Followed { mut jobs, mut tenants, .. } = place.registry.follow_all().await;
    let set = async |tenants: &mut watch::Receiver<Tenants>, wanted: &[(&str, TenantSettings)]| {
        let wanted: BTreeMap<String, TenantSettings> =
            wanted.iter().map(|(name, settings)| ((*name).to_owned(), settings.clone())).collect();
        let reached = tenants.wait_for(|tenants| **tenants == wanted);
        tokio::time::timeout(Duration::from_secs(20), reached).await.expect("the map follows").unwrap();
    };
    set(&mut tenants, &[("acme", first.clone())]).await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    until(&mut jobs, |jobs| jobs.contains_key(&job.id)).await;
    assert!(!tenants.has_changed().unwrap(), "a job's change is none of a tenant's settings");
    jobs.mark_unchanged();

    let second = TenantSettings { weight: 9, ..first.clone() };
    place.registry.set_tenant("acme", &second).await.unwrap();
    set(&mut tenants, &[("acme", second.clone())]).await;
    place.registry.set_tenant("zoo", &first).await.unwrap();
    set(&mut tenants, &[("acme", second.clone()), ("zoo", first.clone())]).await;
    assert_eq!(place.registry.clear_tenant("acme").await, Ok(true));
    set(&mut tenants, &[("zoo", first.clone())]).await;
    assert!(!jobs.has_changed().unwrap(), "a tenant's settings change no job");

    place.embedded.expire(place.session().await.id()).await.unwrap();
    place.registry.set_tenant("acme", &first).await.unwrap();
    place.registry.clear_tenant("zoo").await.unwrap();
    set(&mut tenants, &[("acme", first.clone())]).await;
}

#[tokio::test]
async fn what_a_tenant_is_set_is_written_once_where_the_reply_is_lost() {
    let place = Place::new().await;
    place.registry.apply(&spec("acme", "publisher", "one")).await.unwrap();
    let settings = TenantSettings { runs_per_minute: Some(60), ..TenantSettings::default() };
    for lost in 0..4 {
        place.embedded.lose_replies(place.session().await.id(), lost).await.unwrap();
        place.registry.set_tenant("acme", &settings).await.unwrap();
        assert_eq!(place.registry.tenant("acme").await, Ok(settings.clone()), "{lost} lost");
        place.embedded.lose_replies(place.session().await.id(), lost.min(1)).await.unwrap();
        assert_eq!(place.registry.clear_tenant("acme").await, Ok(true), "{lost} lost");
        assert_eq!(place.registry.clear_tenant("acme").await, Ok(false));
    }
}

#[tokio::test]
async fn settings_that_cannot_be_read_accept_no_component_and_can_be_written_over() {
    let place = Place::new().await;
    let settings = TenantSettings { max_waiting: Some(5), ..TenantSettings::default() };
    place.registry.set_tenant("acme", &settings).await.unwrap();
    place.session().await.set(&place.layout.tenant("acme"), b"not settings", None).await.unwrap();
    let nothing = TenantSettings { signers: Signers::nobody(), ..TenantSettings::default() };
    assert_eq!(place.registry.tenant("acme").await.as_ref(), Ok(&nothing));
    assert_eq!(place.registry.follow_all().await.tenants.borrow().get("acme"), Some(&nothing));
    place.registry.set_tenant("acme", &settings).await.unwrap();
    assert_eq!(place.registry.tenant("acme").await, Ok(settings));
}

#[tokio::test]
async fn a_job_deleted_and_made_again_is_told_apart() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    let before = place.registry.get(&job.id).await.unwrap();
    place.registry.delete(&job.id).await.unwrap();
    place.registry.apply(&job).await.unwrap();
    let after = place.registry.get(&job.id).await.unwrap();
    assert_eq!((before.version, &before.spec), (after.version, &after.spec));
    assert!(after.mzxid > before.mzxid);
}

#[tokio::test]
async fn what_is_no_job_is_left_out_and_can_be_written_over() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    let session = place.session().await;
    session.set(&place.layout.job("acme", "publisher"), b"not a job", None).await.unwrap();
    assert!(place.registry.list().await.unwrap().is_empty());
    assert!(matches!(place.registry.get(&job.id).await, Err(RegistryError::Corrupt { .. })));
    assert_eq!(place.registry.apply(&job).await, applied(2, Change::Updated));
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_listed_with_the_reason() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    place.session().await.set(&place.layout.job("acme", "publisher"), b"{", None).await.unwrap();
    let listing = place.registry.list_all().await.unwrap();
    assert_eq!((listing.jobs.len(), &listing.unreadable[0].0), (0, &job.id));
    assert!(listing.unreadable[0].1.contains("is no job"), "{listing:?}");
}

#[tokio::test]
async fn b3_a_stored_schedule_that_is_refused_stays_visible() {
    let place = Place::new().await;
    let mut job = spec("acme", "nightly", "one");
    job.trigger = Trigger::Schedule { times: ScheduleSpec::new("0 0 31 2 *"), policies: KeptPolicies::default() };
    job.limits = Limits::SCHEDULED;
    place.registry.apply(&job).await.unwrap();
    let jobs = place.registry.follow().await;
    for stored in [place.registry.list().await.unwrap()[&job.id].clone(), jobs.borrow()[&job.id].clone()] {
        let refused = stored.spec.schedule().unwrap().unwrap_err();
        assert_eq!(refused.to_string(), "schedule `0 0 31 2 *` is not valid: it never ticks");
    }
}
