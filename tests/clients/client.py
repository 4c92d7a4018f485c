"""Uses the client that openapi-python-client has made: typed answers, and typed problems with their codes."""

import datetime
import io
import json
import os

import httpx
import icalendar
from tixing_client import AuthenticatedClient, Client
from tixing_client.api.health import check_health
from tixing_client.api.operations import create_key, list_templates, show_stats
from tixing_client.api.reminders import insert_reminder, insert_reminder_batch, list_reminders, show_reminder
from tixing_client.models import (
    KeyMade,
    NewKey,
    NewReminder,
    NewReminderData,
    Problem,
    ProblemCode,
    Reminder,
    ReminderPage,
    ReminderState,
    Scope,
    Stats,
    Templates,
)
from tixing_client.types import File

url = os.environ["TIXING_URL"]
client = AuthenticatedClient(base_url=url, token=os.environ["TIXING_KEY"])
at = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=1)


def reminder(thing1: str) -> NewReminder:
    data = NewReminderData.from_dict({"thing1": thing1, "time2": "2031年3月1日 19:30", "thing5": "三楼301室"})
    return NewReminder(
        app="coffee", openid="o-user-1", template="event-start", at=at.isoformat(), data=data, accepted=True
    )


inserted = insert_reminder.sync(client=client, body=reminder("周三读书会"))
assert isinstance(inserted, Reminder), inserted
assert inserted.state is ReminderState.SCHEDULED and inserted.at == at and inserted.page is None

page = list_reminders.sync(client=client, app="coffee", state=ReminderState.SCHEDULED, from_=at, limit=1)
assert isinstance(page, ReminderPage) and page.items == [inserted] and page.next_ is None, page

shown = show_reminder.sync(inserted.id, client=client)
assert isinstance(shown, Reminder) and shown.attempts == [], shown

stats = show_stats.sync(client=client, app="coffee")
assert isinstance(stats, Stats), stats
assert stats.apps[0].reminders.scheduled == 1 and stats.apps[0].consents.held == 1 and stats.apps[0].paused is None

templates = list_templates.sync(client=client)
assert isinstance(templates, Templates) and templates.templates[0].fields["thing1"] == "活动名称", templates

refused = insert_reminder.sync(client=client, body=reminder("字" * 21))
assert isinstance(refused, Problem), refused
assert (refused.code, refused.param, refused.status) == (ProblemCode.BAD_FIELD, "/data/thing1", 422)

unknown = list_reminders.sync(client=client, limit=0)
assert isinstance(unknown, Problem) and (unknown.code, unknown.param) == (ProblemCode.BAD_QUERY, "/limit"), unknown

nobody = show_stats.sync(client=AuthenticatedClient(base_url=url, token="tx_wrong"))
assert isinstance(nobody, Problem) and nobody.code is ProblemCode.UNAUTHORIZED, nobody

lines = "\n".join(json.dumps(reminder(thing1).to_dict()) for thing1 in ("一", "字" * 21))
answer = insert_reminder_batch.sync_detailed(client=client, body=File(payload=io.BytesIO(lines.encode())))
first, second = (json.loads(line) for line in answer.content.splitlines())
assert first["state"] == "scheduled" and second["error"]["code"] == "bad_field", answer.content

# The feed, read as a calendar program reads it: with a key in the address, that opens nothing else.
schedule = """
name = "春季品鉴会"
app = "coffee"
template = "event-start"
at = { event = 2031-03-01T10:00:00, before = ["1d", "1h"] }
audience = ["o-user-1", "o-user-2"]
timezone = "Asia/Shanghai"
consent = "at_fire"
[data]
thing1 = "周三读书会"
time2 = "{{@event | datetime}}"
thing5 = "三楼301室"
"""
loaded = httpx.post(
    f"{url}/v1/schedules/apply",
    headers={"Authorization": f"Bearer {os.environ['TIXING_KEY']}"},
    files={"schedule": ("s.toml", schedule)},
)
assert loaded.status_code == 200, loaded.text
made = create_key.sync(client=client, body=NewKey(name="calendar", scope=Scope.FEED, apps=["coffee"]))
assert isinstance(made, KeyMade) and made.feed, made
feed = httpx.get(url + made.feed, headers={"Accept-Language": "zh-CN"})
assert feed.headers["content-type"] == "text/calendar; charset=utf-8", feed.headers
calendar = icalendar.Calendar.from_ical(feed.content)
assert calendar["X-WR-CALNAME"] == "定时提醒：coffee" and not calendar.errors, calendar
[event] = calendar.walk("VEVENT")
assert not event.errors and event["SUMMARY"] == "春季品鉴会（coffee）：2 人", event
day = datetime.datetime(2031, 2, 28, 2, tzinfo=datetime.timezone.utc)
assert (event.decoded("DTSTART"), event.decoded("DTEND")) == (day, day + datetime.timedelta(hours=23)), event
assert "o-user" not in feed.text
assert httpx.get(url + made.feed, headers={"If-None-Match": feed.headers["etag"]}).status_code == 200, "in English"
elsewhere = show_stats.sync(client=AuthenticatedClient(base_url=url, token=made.key))
assert isinstance(elsewhere, Problem) and elsewhere.code is ProblemCode.FORBIDDEN, elsewhere

assert check_health.sync(client=Client(base_url=url)) == "ok\n"
