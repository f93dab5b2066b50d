-- What people keep, share and say: profiles, stars, lists, comments, test suites, saved views, API keys.
--
-- Who may do what is decided here and nowhere else: row-level security on every table, one policy per command, and
-- explicit grants, so that a request that goes round the workbench is refused the same. How long and how many are
-- constraints (their counterparts for SQLite are in core/community/limits.py). Whoever signed in anonymously reads as
-- everybody does and writes nothing: public.author() is null for them.

-- Nothing is exposed unless granted below, on projects of any age.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;

-- -- words of the schema ----------------------------------------------------------------------------------------------

create domain public.model_id as text
  check (value ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$' and char_length(value) <= 96);
create domain public.source_id as text
  check (value ~ '^[0-9]{1,4}-[A-Za-z0-9][A-Za-z0-9.-]*(_[A-Za-z0-9.-]+)*(__[A-Za-z0-9._-]+)?$' and char_length(value) <= 96);
create domain public.feature_index as bigint check (value between 0 and 9007199254740991);
create domain public.visibility as text check (value in ('public', 'unlisted', 'private'));

-- Who writes: the signed-in person, and nobody for those who signed in anonymously.
create function public.author() returns uuid
  language sql stable security invoker set search_path = '' as
$$ select case when coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false) then null else auth.uid() end $$;

-- What a link proves: an unlisted thing is shown to whoever names its id in this header, so that nobody can ask for all.
create function public.link() returns text
  language sql stable security invoker set search_path = '' as
$$ select nullif(current_setting('request.headers', true), '')::json ->> 'x-featurescope-link' $$;

create function public.touch() returns trigger
  language plpgsql security invoker set search_path = '' as
$$ begin new.updated_at := now(); return new; end $$;

-- -- tables -----------------------------------------------------------------------------------------------------------

create table public.profiles (
  id uuid primary key default auth.uid() references auth.users (id) on delete cascade,
  name text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{1,31}$'),
  name_key text not null generated always as (lower(name)) stored unique,
  about text not null default '' check (char_length(about) <= 500),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table public.moderators (
  person uuid primary key references public.profiles (id) on delete cascade,
  created_at timestamptz not null default now()
);

create table public.preferences (
  owner uuid primary key default auth.uid() references public.profiles (id) on delete cascade,
  hide_explicit boolean,
  updated_at timestamptz not null default now()
);

create table public.lists (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  name text not null check (char_length(name) <= 120 and name ~ '\S'),
  about text not null default '' check (char_length(about) <= 2000),
  visibility public.visibility not null default 'public',
  test_text text not null default '' check (char_length(test_text) <= 10000),
  hidden_at timestamptz,
  hidden_why text not null default '' check (char_length(hidden_why) <= 500),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((hidden_why ~ '\S') = (hidden_at is not null))
);
create index lists_owner on public.lists (owner, created_at desc);
create index lists_public on public.lists (created_at desc) where visibility = 'public' and hidden_at is null;

create table public.list_items (
  list_id uuid not null references public.lists (id) on delete cascade,
  model_id public.model_id not null,
  source_id public.source_id not null,
  feature public.feature_index not null,
  note text not null default '' check (char_length(note) <= 2000),
  weight double precision not null default 1 check (weight between -1000 and 1000),
  position integer not null default 0 check (position >= 0),
  created_at timestamptz not null default now(),
  primary key (list_id, model_id, source_id, feature)
);
create index list_items_feature on public.list_items (model_id, source_id, feature);

create table public.stars (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  model_id public.model_id,
  source_id public.source_id,
  feature public.feature_index,
  list_id uuid references public.lists (id) on delete cascade,
  created_at timestamptz not null default now(),
  unique nulls not distinct (owner, model_id, source_id, feature, list_id),
  check ((model_id is null) = (feature is null) and (source_id is null) = (feature is null)),
  check ((feature is null) <> (list_id is null))
);
create index stars_feature on public.stars (model_id, source_id, feature);
create index stars_list on public.stars (list_id);

create table public.comments (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  model_id public.model_id,
  source_id public.source_id,
  feature public.feature_index,
  list_id uuid references public.lists (id) on delete cascade,
  parent uuid references public.comments (id) on delete cascade,
  body text not null check (char_length(body) <= 5000),
  edited_at timestamptz,
  deleted_at timestamptz,
  hidden_at timestamptz,
  hidden_why text not null default '' check (char_length(hidden_why) <= 500),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((model_id is null) = (feature is null) and (source_id is null) = (feature is null)),
  check ((feature is null) <> (list_id is null)),
  check ((body !~ '\S') = (deleted_at is not null or hidden_at is not null)),
  check ((hidden_why ~ '\S') = (hidden_at is not null))
);
create index comments_feature on public.comments (model_id, source_id, feature, created_at);
create index comments_list on public.comments (list_id, created_at);
create index comments_owner on public.comments (owner, created_at desc);
create index comments_parent on public.comments (parent);

create table public.reports (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  comment_id uuid references public.comments (id) on delete cascade,
  list_id uuid references public.lists (id) on delete cascade,
  why text not null check (char_length(why) <= 500 and why ~ '\S'),
  closed_at timestamptz,
  created_at timestamptz not null default now(),
  unique nulls not distinct (owner, comment_id, list_id),
  check ((comment_id is null) <> (list_id is null))
);

-- The trail of what moderators did: written by the triggers below alone, and nothing here is ever changed or removed.
create table public.moderation (
  id uuid primary key default gen_random_uuid(),
  moderator uuid default auth.uid() references public.profiles (id) on delete set null,
  comment_id uuid,
  list_id uuid,
  what text not null check (what in ('hide', 'show')),
  why text not null default '' check (char_length(why) <= 500),
  before text not null default '',
  created_at timestamptz not null default now()
);
create index moderation_comment on public.moderation (comment_id, created_at desc);

create table public.suites (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  model_id public.model_id not null,
  source_id public.source_id not null,
  feature public.feature_index not null,
  name text not null check (char_length(name) <= 120 and name ~ '\S'),
  about text not null default '' check (char_length(about) <= 2000),
  visibility public.visibility not null default 'public',
  threshold double precision not null default 0
    check (threshold > '-infinity'::double precision and threshold < 'infinity'::double precision),
  cases jsonb not null default '[]' check (
    jsonb_typeof(cases) = 'array' and jsonb_array_length(cases) <= 200 and octet_length(cases::text) <= 200000
    and not jsonb_path_exists(cases, 'strict $[*] ? (@.type() != "object")')
    and not jsonb_path_exists(cases, '$[*] ? (!exists(@.text) || !exists(@.fires) || @.text.type() != "string" || @.fires.type() != "boolean")')
  ),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index suites_owner on public.suites (owner, created_at desc);
create index suites_feature on public.suites (model_id, source_id, feature);

-- What a suite said when its owner ran it, and of which build of the source.
create table public.suite_runs (
  id uuid primary key default gen_random_uuid(),
  suite_id uuid not null references public.suites (id) on delete cascade,
  build text not null check (char_length(build) <= 100),
  threshold double precision not null
    check (threshold > '-infinity'::double precision and threshold < 'infinity'::double precision),
  results jsonb not null check (
    jsonb_typeof(results) = 'array' and jsonb_array_length(results) <= 200 and octet_length(results::text) <= 400000
    and not jsonb_path_exists(results, 'strict $[*] ? (@.type() != "object")')
    and not jsonb_path_exists(results, '$[*] ? (!exists(@.text) || !exists(@.fires) || !exists(@.value) || !exists(@.passed)
      || @.text.type() != "string" || @.fires.type() != "boolean" || @.passed.type() != "boolean"
      || (@.value.type() != "number" && @.value.type() != "null") || (exists(@.why) && @.why.type() != "string"))')
  ),
  passed integer not null check (passed >= 0),
  failed integer not null check (failed >= 0),
  created_at timestamptz not null default now(),
  check (passed + failed = jsonb_array_length(results))
);
create index suite_runs_suite on public.suite_runs (suite_id, created_at desc);

create table public.saved (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  kind text not null check (kind in ('test', 'search', 'steer', 'scan')),
  name text not null check (char_length(name) <= 200 and name ~ '\S'),
  link text not null check (link ~ '^/(feature|search|steer|scan)\?[^[:space:]<>"'']+$' and char_length(link) <= 16000),
  visibility public.visibility not null default 'private',
  record jsonb check (octet_length(record::text) <= 300000),
  created_at timestamptz not null default now(),
  check (kind = case split_part(link, '?', 1) when '/feature' then 'test' else substr(split_part(link, '?', 1), 2) end)
);
create index saved_owner on public.saved (owner, created_at desc);

create table public.api_keys (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  name text not null check (char_length(name) <= 80 and name ~ '\S'),
  start text not null check (char_length(start) between 4 and 16),
  hash text not null unique check (hash ~ '^[0-9a-f]{64}$'),
  used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now()
);
create index api_keys_owner on public.api_keys (owner);

-- What costs money, one row a use. Rows are only ever added, so that nobody can give themselves more.
create table public.usage (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  kind text not null check (char_length(kind) between 1 and 40),
  amount double precision not null check (amount > 0 and amount < 'infinity'::double precision),
  created_at timestamptz not null default now()
);
create index usage_owner on public.usage (owner, kind, created_at desc);

-- -- who is a moderator -----------------------------------------------------------------------------------------------

create function public.moderates() returns boolean
  language sql stable security invoker set search_path = '' as
$$ select exists (select 1 from public.moderators where person = public.author()) $$;

-- -- what the rows must keep to among themselves ----------------------------------------------------------------------

create function public.guard_list() returns trigger
  language plpgsql security invoker set search_path = '' as
$$
begin
  new.updated_at := now();
  if current_user <> 'authenticated' then return new; end if;
  if new.hidden_at is distinct from old.hidden_at or new.hidden_why is distinct from old.hidden_why then
    if not public.moderates() then
      raise exception 'Only a moderator hides or shows.' using errcode = '42501';
    end if;
    if new.hidden_at is not null then new.hidden_at := now(); else new.hidden_why := ''; end if;
    insert into public.moderation (list_id, what, why, before)
      values (new.id, case when new.hidden_at is null then 'show' else 'hide' end, new.hidden_why, old.name);
  end if;
  if old.owner is distinct from public.author()
     and (new.name, new.about, new.visibility, new.test_text) is distinct from (old.name, old.about, old.visibility, old.test_text) then
    raise exception 'Only its owner changes a list.' using errcode = '42501';
  end if;
  return new;
end $$;
create trigger lists_guard before update on public.lists for each row execute function public.guard_list();

create function public.guard_items() returns trigger
  language plpgsql security invoker set search_path = '' as
$$
begin
  if exists (select 1 from added group by list_id
             having (select count(*) from public.list_items i where i.list_id = added.list_id) > 1000) then
    raise exception 'A list has at most 1000 features.' using errcode = '23514';
  end if;
  return null;
end $$;
create trigger list_items_guard after insert on public.list_items
  referencing new table as added for each statement execute function public.guard_items();
create trigger list_items_guard_moved after update on public.list_items
  referencing new table as added for each statement execute function public.guard_items();

create function public.guard_comment() returns trigger
  language plpgsql security invoker set search_path = '' as
$$
begin
  if tg_op = 'INSERT' then
    if new.parent is not null and not exists (
      select 1 from public.comments c where c.id = new.parent
        and (c.model_id, c.source_id, c.feature, c.list_id) is not distinct from (new.model_id, new.source_id, new.feature, new.list_id)
    ) then
      raise exception 'A reply belongs to a comment on the same thing.' using errcode = '23514';
    end if;
    return new;
  end if;
  new.updated_at := now();
  if current_user <> 'authenticated' then return new; end if;
  if new.hidden_at is distinct from old.hidden_at or new.hidden_why is distinct from old.hidden_why then
    if not public.moderates() then
      raise exception 'Only a moderator hides or shows.' using errcode = '42501';
    end if;
    if new.hidden_at is not null then new.hidden_at := now(); else new.hidden_why := ''; end if;
    insert into public.moderation (comment_id, what, why, before)
      values (new.id, case when new.hidden_at is null then 'show' else 'hide' end, new.hidden_why, old.body);
    new.body := old.body;
    if new.hidden_at is not null then
      new.body := '';
    elsif old.hidden_at is not null and old.deleted_at is null then
      new.body := coalesce((select m.before from public.moderation m
        where m.comment_id = new.id and m.what = 'hide' and m.before <> '' order by m.created_at desc limit 1), '');
    end if;
    new.deleted_at := old.deleted_at;
    return new;
  end if;
  if old.owner is distinct from public.author() then
    raise exception 'Only who wrote a comment changes it.' using errcode = '42501';
  end if;
  if old.deleted_at is not null or old.hidden_at is not null then
    raise exception 'A comment that is gone is not changed.' using errcode = '42501';
  end if;
  if new.deleted_at is not null then
    new.deleted_at := now();
    new.body := '';
  elsif new.body is distinct from old.body then
    new.edited_at := now();
  end if;
  return new;
end $$;
create trigger comments_guard before insert or update on public.comments for each row execute function public.guard_comment();

create trigger profiles_touch before update on public.profiles for each row execute function public.touch();
create trigger preferences_touch before update on public.preferences for each row execute function public.touch();
create trigger suites_touch before update on public.suites for each row execute function public.touch();

-- How many a person may have. The lock keeps two requests at once from counting without one another's rows.
create function public.guard_count() returns trigger
  language plpgsql security invoker set search_path = '' as
$$
declare who uuid; n bigint;
begin
  for who in select distinct added.owner from added order by 1 loop
    perform pg_advisory_xact_lock(hashtextextended(tg_table_name || who::text, 0));
    case tg_table_name
      when 'lists' then select count(*) into n from public.lists where owner = who;
      when 'suites' then select count(*) into n from public.suites where owner = who;
      when 'saved' then select count(*) into n from public.saved where owner = who;
      else select count(*) into n from public.api_keys where owner = who and revoked_at is null;
    end case;
    if n > tg_argv[0]::bigint then
      raise exception 'A person has at most % %.', tg_argv[0], tg_argv[1] using errcode = '23514';
    end if;
  end loop;
  return null;
end $$;
create trigger lists_count after insert on public.lists
  referencing new table as added for each statement execute function public.guard_count(500, 'lists');
create trigger suites_count after insert on public.suites
  referencing new table as added for each statement execute function public.guard_count(500, 'test suites');
create trigger saved_count after insert on public.saved
  referencing new table as added for each statement execute function public.guard_count(2000, 'saved views');
create trigger api_keys_count after insert on public.api_keys
  referencing new table as added for each statement execute function public.guard_count(20, 'API keys');

-- -- row-level security -----------------------------------------------------------------------------------------------

alter table public.profiles enable row level security;
alter table public.moderators enable row level security;
alter table public.preferences enable row level security;
alter table public.lists enable row level security;
alter table public.list_items enable row level security;
alter table public.stars enable row level security;
alter table public.comments enable row level security;
alter table public.reports enable row level security;
alter table public.moderation enable row level security;
alter table public.suites enable row level security;
alter table public.suite_runs enable row level security;
alter table public.saved enable row level security;
alter table public.api_keys enable row level security;
alter table public.usage enable row level security;

create policy profiles_read on public.profiles for select to anon, authenticated using (true);
create policy profiles_insert on public.profiles for insert to authenticated with check (id = (select public.author()));
create policy profiles_update on public.profiles for update to authenticated
  using (id = (select public.author())) with check (id = (select public.author()));

create policy moderators_read on public.moderators for select to anon, authenticated using (person = (select public.author()));

create policy preferences_read on public.preferences for select to authenticated using (owner = (select public.author()));
create policy preferences_insert on public.preferences for insert to authenticated with check (owner = (select public.author()));
create policy preferences_update on public.preferences for update to authenticated
  using (owner = (select public.author())) with check (owner = (select public.author()));
create policy preferences_delete on public.preferences for delete to authenticated using (owner = (select public.author()));

create policy lists_read on public.lists for select to anon, authenticated using (
  owner = (select public.author()) or (select public.moderates())
  or (hidden_at is null and (visibility = 'public' or (visibility = 'unlisted' and id::text = (select public.link()))))
);
create policy lists_insert on public.lists for insert to authenticated
  with check (owner = (select public.author()) and hidden_at is null);
create policy lists_update on public.lists for update to authenticated
  using (owner = (select public.author()) or (select public.moderates()))
  with check (owner = (select public.author()) or (select public.moderates()));
create policy lists_delete on public.lists for delete to authenticated using (owner = (select public.author()));

-- Whoever may read a list may read what is in it: the policies of the list decide, since these ask it as the reader.
create policy list_items_read on public.list_items for select to anon, authenticated
  using (exists (select 1 from public.lists l where l.id = list_id));
create policy list_items_insert on public.list_items for insert to authenticated
  with check (exists (select 1 from public.lists l where l.id = list_id and l.owner = (select public.author())));
create policy list_items_update on public.list_items for update to authenticated
  using (exists (select 1 from public.lists l where l.id = list_id and l.owner = (select public.author())))
  with check (exists (select 1 from public.lists l where l.id = list_id and l.owner = (select public.author())));
create policy list_items_delete on public.list_items for delete to authenticated
  using (exists (select 1 from public.lists l where l.id = list_id and l.owner = (select public.author())));

create policy stars_read on public.stars for select to anon, authenticated using (
  list_id is null or owner = (select public.author()) or exists (select 1 from public.lists l where l.id = list_id)
);
create policy stars_insert on public.stars for insert to authenticated with check (
  owner = (select public.author()) and (list_id is null or exists (select 1 from public.lists l where l.id = list_id))
);
create policy stars_delete on public.stars for delete to authenticated using (owner = (select public.author()));

create policy comments_read on public.comments for select to anon, authenticated using (
  list_id is null or owner = (select public.author()) or exists (select 1 from public.lists l where l.id = list_id)
);
create policy comments_insert on public.comments for insert to authenticated with check (
  owner = (select public.author()) and deleted_at is null and hidden_at is null
  and (list_id is null or exists (select 1 from public.lists l where l.id = list_id))
);
create policy comments_update on public.comments for update to authenticated
  using (owner = (select public.author()) or (select public.moderates()))
  with check (owner = (select public.author()) or (select public.moderates()));

create policy reports_read on public.reports for select to authenticated
  using (owner = (select public.author()) or (select public.moderates()));
create policy reports_insert on public.reports for insert to authenticated with check (
  owner = (select public.author()) and closed_at is null
  and (comment_id is null or exists (select 1 from public.comments c where c.id = comment_id))
  and (list_id is null or exists (select 1 from public.lists l where l.id = list_id))
);
create policy reports_update on public.reports for update to authenticated
  using ((select public.moderates())) with check ((select public.moderates()));

create policy moderation_read on public.moderation for select to authenticated using ((select public.moderates()));
create policy moderation_insert on public.moderation for insert to authenticated
  with check (moderator = (select public.author()) and (select public.moderates()) and pg_trigger_depth() > 0);

create policy suites_read on public.suites for select to anon, authenticated using (
  owner = (select public.author()) or visibility = 'public' or (visibility = 'unlisted' and id::text = (select public.link()))
);
create policy suites_insert on public.suites for insert to authenticated with check (owner = (select public.author()));
create policy suites_update on public.suites for update to authenticated
  using (owner = (select public.author())) with check (owner = (select public.author()));
create policy suites_delete on public.suites for delete to authenticated using (owner = (select public.author()));

create policy suite_runs_read on public.suite_runs for select to anon, authenticated
  using (exists (select 1 from public.suites s where s.id = suite_id));
create policy suite_runs_insert on public.suite_runs for insert to authenticated
  with check (exists (select 1 from public.suites s where s.id = suite_id and s.owner = (select public.author())));
create policy suite_runs_delete on public.suite_runs for delete to authenticated
  using (exists (select 1 from public.suites s where s.id = suite_id and s.owner = (select public.author())));

create policy saved_read on public.saved for select to anon, authenticated using (
  owner = (select public.author()) or visibility = 'public' or (visibility = 'unlisted' and id::text = (select public.link()))
);
create policy saved_insert on public.saved for insert to authenticated with check (owner = (select public.author()));
create policy saved_update on public.saved for update to authenticated
  using (owner = (select public.author())) with check (owner = (select public.author()));
create policy saved_delete on public.saved for delete to authenticated using (owner = (select public.author()));

create policy api_keys_read on public.api_keys for select to authenticated using (owner = (select public.author()));
create policy api_keys_insert on public.api_keys for insert to authenticated
  with check (owner = (select public.author()) and revoked_at is null and used_at is null);
create policy api_keys_update on public.api_keys for update to authenticated
  using (owner = (select public.author())) with check (owner = (select public.author()) and revoked_at is not null);

create policy usage_read on public.usage for select to authenticated using (owner = (select public.author()));
create policy usage_insert on public.usage for insert to authenticated with check (owner = (select public.author()));

-- -- what the pages read in one request -------------------------------------------------------------------------------

create view public.list_cards with (security_invoker = true) as
  select l.*, p.name as owner_name,
    (select count(*) from public.list_items i where i.list_id = l.id) as items,
    (select count(*) from public.stars s where s.list_id = l.id) as stars,
    (select count(*) from public.comments c where c.list_id = l.id and c.deleted_at is null and c.hidden_at is null) as comments
  from public.lists l join public.profiles p on p.id = l.owner;

create view public.star_rows with (security_invoker = true) as
  select s.*, p.name as owner_name, l.name as list_name
  from public.stars s join public.profiles p on p.id = s.owner left join public.lists l on l.id = s.list_id;

create view public.comment_rows with (security_invoker = true) as
  select c.*, p.name as owner_name, l.name as list_name
  from public.comments c join public.profiles p on p.id = c.owner left join public.lists l on l.id = c.list_id;

create view public.suite_cards with (security_invoker = true) as
  select s.*, p.name as owner_name, r.build as last_build, r.passed as last_passed, r.failed as last_failed,
    r.created_at as last_at
  from public.suites s join public.profiles p on p.id = s.owner left join public.suite_runs r on r.id =
    (select x.id from public.suite_runs x where x.suite_id = s.id order by x.created_at desc limit 1);

create view public.listed_features with (security_invoker = true) as
  select i.model_id, i.source_id, i.feature, i.note, i.created_at, l.id as list_id, l.name as list_name,
    l.owner, l.visibility, p.name as owner_name
  from public.list_items i join public.lists l on l.id = i.list_id join public.profiles p on p.id = l.owner
  where l.hidden_at is null;

create view public.happenings with (security_invoker = true) as
  select 'star' as what, s.id::text as id, s.owner, p.name as owner_name, s.model_id, s.source_id, s.feature, s.list_id,
    coalesce(l.name, '') as words, s.created_at
  from public.stars s join public.profiles p on p.id = s.owner left join public.lists l on l.id = s.list_id
  where s.list_id is null or (l.visibility = 'public' and l.hidden_at is null)
  union all
  select 'comment', c.id::text, c.owner, p.name, c.model_id, c.source_id, c.feature, c.list_id, left(c.body, 200), c.created_at
  from public.comments c join public.profiles p on p.id = c.owner left join public.lists l on l.id = c.list_id
  where c.deleted_at is null and c.hidden_at is null
    and (c.list_id is null or (l.visibility = 'public' and l.hidden_at is null))
  union all
  select 'list', l.id::text, l.owner, p.name, null, null, null, l.id, l.name, l.created_at
  from public.lists l join public.profiles p on p.id = l.owner
  where l.visibility = 'public' and l.hidden_at is null
  union all
  select 'suite', u.id::text, u.owner, p.name, u.model_id, u.source_id, u.feature, null, u.name, u.created_at
  from public.suites u join public.profiles p on p.id = u.owner
  where u.visibility = 'public';

-- A list with its features, or nothing: two requests could leave an empty list behind. The same id twice is once.
create function public.new_list(list jsonb, items jsonb) returns uuid
  language plpgsql security invoker set search_path = '' as
$$
declare made uuid;
begin
  insert into public.lists (id, name, about, visibility, test_text)
    values ((list ->> 'id')::uuid, list ->> 'name', coalesce(list ->> 'about', ''),
            coalesce(list ->> 'visibility', 'public'), coalesce(list ->> 'test_text', ''))
    on conflict (id) do nothing returning id into made;
  if made is null then return (list ->> 'id')::uuid; end if;
  insert into public.list_items (list_id, model_id, source_id, feature, note, weight, position)
    select made, i.model_id, i.source_id, i.feature, coalesce(i.note, ''), coalesce(i.weight, 1), coalesce(i.position, 0)
    from jsonb_to_recordset(items) as i (model_id text, source_id text, feature bigint, note text, weight double precision, position integer);
  return made;
end $$;

-- -- grants -----------------------------------------------------------------------------------------------------------

grant execute on function public.author(), public.link(), public.moderates() to anon, authenticated, service_role;
grant execute on function public.new_list(jsonb, jsonb) to authenticated, service_role;

grant select on public.profiles, public.lists, public.list_items, public.stars, public.comments, public.suites,
  public.suite_runs, public.saved, public.list_cards, public.star_rows, public.comment_rows, public.suite_cards,
  public.listed_features, public.happenings to anon, authenticated;
-- (public.moderates() asks as the reader, whoever that is)
grant select on public.moderators to anon, authenticated;
grant select on public.preferences, public.reports, public.moderation, public.usage to authenticated;
grant select (id, owner, name, start, used_at, revoked_at, created_at) on public.api_keys to authenticated;

grant insert (id, name, about), update (name, about) on public.profiles to authenticated;
grant insert (owner, hide_explicit), update (owner, hide_explicit), delete on public.preferences to authenticated;
grant insert (id, owner, name, about, visibility, test_text), update (name, about, visibility, test_text, hidden_at, hidden_why), delete
  on public.lists to authenticated;
grant insert (list_id, model_id, source_id, feature, note, weight, position),
  update (list_id, model_id, source_id, feature, note, weight, position), delete on public.list_items to authenticated;
grant insert (id, owner, model_id, source_id, feature, list_id), delete on public.stars to authenticated;
grant insert (id, owner, model_id, source_id, feature, list_id, parent, body), update (body, deleted_at, hidden_at, hidden_why)
  on public.comments to authenticated;
grant insert (id, owner, comment_id, list_id, why), update (closed_at) on public.reports to authenticated;
grant insert (moderator, comment_id, list_id, what, why, before) on public.moderation to authenticated;
grant insert (id, owner, model_id, source_id, feature, name, about, visibility, threshold, cases),
  update (name, about, visibility, threshold, cases), delete on public.suites to authenticated;
grant insert (id, suite_id, build, threshold, results, passed, failed), delete on public.suite_runs to authenticated;
grant insert (id, owner, kind, name, link, visibility, record), update (name, visibility), delete on public.saved to authenticated;
grant insert (id, owner, name, start, hash), update (revoked_at) on public.api_keys to authenticated;
grant insert (id, owner, kind, amount) on public.usage to authenticated;

grant all on all tables in schema public to service_role;
