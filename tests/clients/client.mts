// Uses the types that openapi-typescript has made. It compiles only if answers and problems are typed.

import createClient from "openapi-fetch";
import type { components, paths } from "./tixing.js";

declare const process: { env: Record<string, string | undefined> };
type Schemas = components["schemas"];

function check(good: boolean, what: unknown): asserts good {
  if (!good) throw new Error(JSON.stringify(what));
}

const client = createClient<paths>({
  baseUrl: process.env.TIXING_URL,
  headers: { authorization: `Bearer ${process.env.TIXING_KEY}` },
});
const reminder = (thing1: string): Schemas["NewReminder"] => ({
  app: "coffee",
  openid: "o-user-2",
  template: "event-start",
  at: new Date(Date.now() + 86_400_000).toISOString(),
  consent: "at_fire",
  data: { thing1, time2: "2031年3月1日 19:30", thing5: "三楼301室" },
});

const inserted = await client.POST("/v1/reminders", { body: reminder("周三读书会") });
check(inserted.data !== undefined, inserted.error);
const state: Schemas["ReminderState"] = inserted.data.state;
check(state === "scheduled", inserted.data);

const list = await client.GET("/v1/reminders", { params: { query: { openid: "o-user-2", state: "scheduled", limit: 10 } } });
check(list.data?.items[0].id === inserted.data.id, list);

const stats = await client.GET("/v1/stats");
const scheduled: number | undefined = stats.data?.apps[0].reminders.scheduled;
check(scheduled !== undefined && scheduled >= 1, stats);

const refused = await client.POST("/v1/reminders", { body: reminder("字".repeat(21)) });
const code: Schemas["ProblemCode"] | undefined = refused.error?.code;
check(code === "bad_field" && refused.error?.param === "/data/thing1", refused.error);

// Each of these must be refused by the compiler; one that is not fails the compilation.
// @ts-expect-error: a state is one of a closed set.
const noState: Schemas["ReminderState"] = "done";
// @ts-expect-error: so is a code.
const noCode: Schemas["ProblemCode"] = "bad_luck";
// @ts-expect-error: a count is a number.
const noCount: string = ({} as Schemas["Stats"]).apps?.[0].due;
// @ts-expect-error: a limit is a number.
const noLimit: paths["/v1/reminders"]["get"]["parameters"]["query"] = { limit: "10" };
// @ts-expect-error: a reminder needs its app.
const noApp: Schemas["NewReminder"] = { openid: "o", template: "t", at: "2031-03-01T19:30", data: {} };
