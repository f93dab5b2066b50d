-- Play: answers to rounds that measure how far an explanation, or a reader, tells where a feature is active.
--
-- A round is made again from its kind, its feature and its seed, so that an answer is all that is kept. Points are the
-- server's to give: it compares an answer with held-out activations and writes points with the project's secret key.
-- A person may write neither points nor agreement, and of an answer that was given change the words alone. Answers can
-- be read by everybody, as votes are. What is trusted: the server's key, the time at which the database got an answer.

create table public.campaigns (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  name text not null check (char_length(name) <= 120 and name ~ '\S'),
  about text not null default '' check (char_length(about) <= 2000),
  sources jsonb not null check (
    jsonb_typeof(sources) = 'array' and jsonb_array_length(sources) between 1 and 100
    and octet_length(sources::text) <= 25000
    and not jsonb_path_exists(sources, 'strict $[*] ? (@.type() != "string")')
  ),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index campaigns_owner on public.campaigns (owner, created_at desc);

create table public.plays (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  model_id public.model_id not null,
  source_id public.source_id not null,
  feature public.feature_index not null,
  kind text not null check (kind in ('name', 'predict', 'odd', 'compare')),
  seed bigint not null check (seed between 0 and 4294967295),
  campaign_id uuid references public.campaigns (id) on delete set null,
  answer jsonb not null check (jsonb_typeof(answer) = 'object' and octet_length(answer::text) <= 4000),
  words text not null default '' check (char_length(words) <= 1000),
  points smallint check (points between -100 and 100),
  agreed double precision check (agreed between 0 and 1),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (owner, model_id, source_id, feature, kind, seed)
);
create index plays_feature on public.plays (model_id, source_id, feature);
create index plays_made on public.plays (created_at desc);
create index plays_owner on public.plays (owner, created_at desc);

create trigger campaigns_touch before update on public.campaigns for each row execute function public.touch();
create trigger plays_touch before update on public.plays for each row execute function public.touch();
create trigger plays_pace after insert on public.plays
  referencing new table as added for each statement execute function public.guard_pace(240, 'rounds');
create trigger campaigns_pace after insert on public.campaigns
  referencing new table as added for each statement execute function public.guard_pace(20, 'campaigns');

alter table public.campaigns enable row level security;
alter table public.plays enable row level security;

create policy campaigns_read on public.campaigns for select to anon, authenticated using (true);
create policy campaigns_insert on public.campaigns for insert to authenticated with check (owner = (select public.author()));
create policy campaigns_update on public.campaigns for update to authenticated
  using (owner = (select public.author())) with check (owner = (select public.author()));
create policy campaigns_delete on public.campaigns for delete to authenticated using (owner = (select public.author()));

create policy plays_read on public.plays for select to anon, authenticated using (true);
create policy plays_insert on public.plays for insert to authenticated with check (owner = (select public.author()));
create policy plays_update on public.plays for update to authenticated
  using (owner = (select public.author())) with check (owner = (select public.author()));

create view public.campaign_rows with (security_invoker = true) as
  select c.*, p.name as owner_name,
    (select count(*) from public.plays y where y.campaign_id = c.id) as rounds
  from public.campaigns c join public.profiles p on p.id = c.owner;

create view public.play_rows with (security_invoker = true) as
  select y.*, p.name as owner_name from public.plays y join public.profiles p on p.id = y.owner;

-- A person's day in one campaign, or outside of all: what leaderboards and streaks are added up from.
create view public.play_days with (security_invoker = true) as
  select y.owner, p.name as owner_name, to_char(y.created_at at time zone 'utc', 'YYYY-MM-DD') as day, y.campaign_id,
    count(*) as rounds, count(y.points) as judged, count(y.agreed) as measured, coalesce(sum(y.points), 0) as points, avg(y.agreed) as agreed,
    min(y.created_at) as created_at, max(y.created_at) as last_at
  from public.plays y join public.profiles p on p.id = y.owner
  group by y.owner, p.name, to_char(y.created_at at time zone 'utc', 'YYYY-MM-DD'), y.campaign_id;

grant select on public.campaigns, public.plays, public.campaign_rows, public.play_rows, public.play_days to anon, authenticated;
grant insert (id, owner, name, about, sources), update (name, about, sources), delete on public.campaigns to authenticated;
grant insert (id, owner, model_id, source_id, feature, kind, seed, campaign_id, answer, words), update (words)
  on public.plays to authenticated;
grant all on public.campaigns, public.plays, public.campaign_rows, public.play_rows, public.play_days to service_role;
