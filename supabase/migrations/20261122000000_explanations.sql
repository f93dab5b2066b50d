-- What people say that features mean: explanations, votes on explanations of every origin, and marks.
--
-- As in the first migration, row-level security decides and every grant is spoken of. An explanation of a machine or of
-- the data is no row here, so a vote names it by its id and keeps the SHA-256 of the text that it was given for: where
-- the text changes, the vote is not carried over to words that nobody voted for.

create table public.explanations (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  model_id public.model_id not null,
  source_id public.source_id not null,
  feature public.feature_index not null,
  text text not null check (char_length(text) <= 1000 and text !~ '[\n\r]'),
  hidden_at timestamptz,
  hidden_why text not null default '' check (char_length(hidden_why) <= 500),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((text !~ '\S') = (hidden_at is not null)),
  check ((hidden_why ~ '\S') = (hidden_at is not null))
);
create index explanations_feature on public.explanations (model_id, source_id, feature, created_at);
create index explanations_owner on public.explanations (owner, created_at desc);
create index explanations_changed on public.explanations (model_id, source_id, updated_at desc);

create table public.explanation_votes (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  model_id public.model_id not null,
  source_id public.source_id not null,
  feature public.feature_index not null,
  explanation text not null check (char_length(explanation) <= 200 and explanation ~ '\S'),
  hash text not null check (hash ~ '^[0-9a-f]{64}$'),
  vote smallint not null check (vote in (-1, 1)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (owner, model_id, source_id, feature, explanation)
);
create index explanation_votes_feature on public.explanation_votes (model_id, source_id, feature);

create table public.explanation_marks (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  model_id public.model_id not null,
  source_id public.source_id not null,
  feature public.feature_index not null,
  mark text not null check (mark in ('none', 'mess', 'several')),
  created_at timestamptz not null default now(),
  unique (owner, model_id, source_id, feature, mark)
);
create index explanation_marks_feature on public.explanation_marks (model_id, source_id, feature);

-- Reports and the trail of moderation speak of explanations, too.
alter table public.reports add column explanation_id uuid references public.explanations (id) on delete cascade;
alter table public.moderation add column explanation_id uuid;
create index moderation_explanation on public.moderation (explanation_id, created_at desc);
do $$
declare old text;
begin
  for old in select conname from pg_constraint where conrelid = 'public.reports'::regclass
    and (contype = 'u' or (contype = 'c' and pg_get_constraintdef(oid) like '%list_id%')) loop
    execute format('alter table public.reports drop constraint %I', old);
  end loop;
end $$;
alter table public.reports
  add constraint reports_once unique nulls not distinct (owner, comment_id, list_id, explanation_id),
  add constraint reports_one_thing check (num_nonnulls(comment_id, list_id, explanation_id) = 1);

-- -- what the rows must keep to ---------------------------------------------------------------------------------------

create function public.guard_explanation() returns trigger
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
    insert into public.moderation (explanation_id, what, why, before)
      values (new.id, case when new.hidden_at is null then 'show' else 'hide' end, new.hidden_why, old.text);
    new.text := old.text;
    if new.hidden_at is not null then
      new.text := '';
    elsif old.hidden_at is not null then
      new.text := coalesce((select m.before from public.moderation m
        where m.explanation_id = new.id and m.what = 'hide' and m.before <> '' order by m.created_at desc limit 1), '');
    end if;
    return new;
  end if;
  if old.owner is distinct from public.author() then
    raise exception 'Only who wrote an explanation changes it.' using errcode = '42501';
  end if;
  if old.hidden_at is not null then
    raise exception 'An explanation that is hidden is not changed.' using errcode = '42501';
  end if;
  return new;
end $$;
create trigger explanations_guard before update on public.explanations
  for each row execute function public.guard_explanation();
create trigger explanation_votes_touch before update on public.explanation_votes
  for each row execute function public.touch();

-- How many a person writes in an hour: created_at is given to nobody to write.
create function public.guard_pace() returns trigger
  language plpgsql security invoker set search_path = '' as
$$
declare who uuid; n bigint;
begin
  if current_user <> 'authenticated' then return null; end if;
  for who in select distinct added.owner from added order by 1 loop
    perform pg_advisory_xact_lock(hashtextextended(tg_table_name || who::text, 0));
    execute format('select count(*) from public.%I where owner = $1 and created_at > now() - interval ''1 hour''', tg_table_name)
      into n using who;
    if n > tg_argv[0]::bigint then
      raise exception 'A person has at most % % an hour: go on a little later.', tg_argv[0], tg_argv[1] using errcode = '23514';
    end if;
  end loop;
  return null;
end $$;
create trigger explanations_pace after insert on public.explanations
  referencing new table as added for each statement execute function public.guard_pace(120, 'explanations');
create trigger explanation_votes_pace after insert on public.explanation_votes
  referencing new table as added for each statement execute function public.guard_pace(1200, 'votes');
create trigger explanation_marks_pace after insert on public.explanation_marks
  referencing new table as added for each statement execute function public.guard_pace(600, 'marks');

-- -- row-level security -----------------------------------------------------------------------------------------------

alter table public.explanations enable row level security;
alter table public.explanation_votes enable row level security;
alter table public.explanation_marks enable row level security;

create policy explanations_read on public.explanations for select to anon, authenticated using (true);
create policy explanations_insert on public.explanations for insert to authenticated
  with check (owner = (select public.author()) and hidden_at is null);
create policy explanations_update on public.explanations for update to authenticated
  using (owner = (select public.author()) or (select public.moderates()))
  with check (owner = (select public.author()) or (select public.moderates()));
create policy explanations_delete on public.explanations for delete to authenticated using (owner = (select public.author()));

create policy explanation_votes_read on public.explanation_votes for select to anon, authenticated using (true);
create policy explanation_votes_insert on public.explanation_votes for insert to authenticated
  with check (owner = (select public.author()));
create policy explanation_votes_update on public.explanation_votes for update to authenticated
  using (owner = (select public.author())) with check (owner = (select public.author()));
create policy explanation_votes_delete on public.explanation_votes for delete to authenticated
  using (owner = (select public.author()));

create policy explanation_marks_read on public.explanation_marks for select to anon, authenticated using (true);
create policy explanation_marks_insert on public.explanation_marks for insert to authenticated
  with check (owner = (select public.author()));
create policy explanation_marks_delete on public.explanation_marks for delete to authenticated
  using (owner = (select public.author()));

drop policy reports_insert on public.reports;
create policy reports_insert on public.reports for insert to authenticated with check (
  owner = (select public.author()) and closed_at is null
  and (comment_id is null or exists (select 1 from public.comments c where c.id = comment_id))
  and (list_id is null or exists (select 1 from public.lists l where l.id = list_id))
  and (explanation_id is null or exists (select 1 from public.explanations e where e.id = explanation_id))
);

-- -- what the pages read in one request -------------------------------------------------------------------------------

create view public.explanation_rows with (security_invoker = true) as
  select e.*, p.name as owner_name from public.explanations e join public.profiles p on p.id = e.owner;

create view public.explanation_vote_counts with (security_invoker = true) as
  select v.model_id, v.source_id, v.feature, v.explanation, v.hash,
    count(*) filter (where v.vote > 0) as up, count(*) filter (where v.vote < 0) as down,
    min(v.created_at) as created_at, max(v.updated_at) as updated_at
  from public.explanation_votes v group by v.model_id, v.source_id, v.feature, v.explanation, v.hash;

create view public.explanation_mark_counts with (security_invoker = true) as
  select m.model_id, m.source_id, m.feature, m.mark, count(*) as people, max(m.created_at) as created_at
  from public.explanation_marks m group by m.model_id, m.source_id, m.feature, m.mark;

create or replace view public.happenings with (security_invoker = true) as
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
  where u.visibility = 'public'
  union all
  select 'explanation', e.id::text, e.owner, p.name, e.model_id, e.source_id, e.feature, null, left(e.text, 200), e.created_at
  from public.explanations e join public.profiles p on p.id = e.owner
  where e.hidden_at is null;

-- -- grants -----------------------------------------------------------------------------------------------------------

grant select on public.explanations, public.explanation_votes, public.explanation_marks, public.explanation_rows,
  public.explanation_vote_counts, public.explanation_mark_counts to anon, authenticated;
grant insert (id, owner, model_id, source_id, feature, text), update (text, hidden_at, hidden_why), delete
  on public.explanations to authenticated;
grant insert (id, owner, model_id, source_id, feature, explanation, hash, vote), update (hash, vote), delete
  on public.explanation_votes to authenticated;
grant insert (id, owner, model_id, source_id, feature, mark), delete on public.explanation_marks to authenticated;
grant insert (explanation_id) on public.reports to authenticated;
grant insert (explanation_id) on public.moderation to authenticated;

grant all on public.explanations, public.explanation_votes, public.explanation_marks, public.explanation_rows,
  public.explanation_vote_counts, public.explanation_mark_counts to service_role;
