-- How many a person adds in an hour holds for whoever deletes and adds again, or writes other words in the same place.
--
-- The pace was counted from the rows that are there. What was added within the hour and taken away again, and what was
-- written anew, is counted here besides: a row for each such deed, written by triggers alone. Nobody can change or
-- delete one, so that nobody gives themselves more; after an hour it counts for nothing.

create table public.paces (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  what text not null check (char_length(what) between 1 and 60),
  n integer not null check (n > 0),
  created_at timestamptz not null default now()
);
create index paces_owner on public.paces (owner, what, created_at desc);
-- What is scored in the background is asked for by when it changed (core/explain/scoring/later.py).
create index explanations_newest on public.explanations (updated_at desc);

-- What was added within the hour, and is deleted.
create function public.keep_pace() returns trigger
  language plpgsql security invoker set search_path = '' as
$$
begin
  if current_user <> 'authenticated' then return null; end if;
  insert into public.paces (owner, what, n)
    select gone.owner, tg_table_name, count(*) from gone
    where gone.created_at > now() - interval '1 hour' group by gone.owner;
  return null;
end $$;
create trigger explanations_pace_kept after delete on public.explanations
  referencing old table as gone for each statement execute function public.keep_pace();
create trigger explanation_votes_pace_kept after delete on public.explanation_votes
  referencing old table as gone for each statement execute function public.keep_pace();
create trigger explanation_marks_pace_kept after delete on public.explanation_marks
  referencing old table as gone for each statement execute function public.keep_pace();
create trigger campaigns_pace_kept after delete on public.campaigns
  referencing old table as gone for each statement execute function public.keep_pace();

-- Both counts are one question, so that a row that is deleted meanwhile is in one of them.
create or replace function public.guard_pace() returns trigger
  language plpgsql security invoker set search_path = '' as
$$
declare who uuid; n bigint;
begin
  if current_user <> 'authenticated' then return null; end if;
  if tg_op = 'UPDATE' then
    insert into public.paces (owner, what, n)
      select a.owner, tg_table_name, count(*) from added a join earlier b on b.id = a.id
      where a.text is distinct from b.text and a.hidden_at is not distinct from b.hidden_at
        and a.owner = public.author()
      group by a.owner;
    if not found then return null; end if;
  end if;
  for who in select distinct added.owner from added order by 1 loop
    perform pg_advisory_xact_lock(hashtextextended(tg_table_name || who::text, 0));
    execute format(
      'select (select count(*) from public.%I where owner = $1 and created_at > now() - interval ''1 hour'')'
      ' + (select coalesce(sum(p.n), 0) from public.paces p where p.owner = $1 and p.what = $2'
      ' and p.created_at > now() - interval ''1 hour'')', tg_table_name)
      into n using who, tg_table_name::text;
    if n > tg_argv[0]::bigint then
      raise exception 'A person has at most % % an hour: go on a little later.', tg_argv[0], tg_argv[1] using errcode = '23514';
    end if;
  end loop;
  return null;
end $$;
create trigger explanations_pace_again after update on public.explanations
  referencing old table as earlier new table as added
  for each statement execute function public.guard_pace(120, 'explanations');

alter table public.paces enable row level security;
create policy paces_read on public.paces for select to authenticated using (owner = (select public.author()));
create policy paces_insert on public.paces for insert to authenticated
  with check (owner = (select public.author()) and pg_trigger_depth() > 0);

grant select on public.paces to authenticated;
grant insert (owner, what, n) on public.paces to authenticated;
grant all on public.paces to service_role;
