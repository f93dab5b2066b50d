-- Optional, and not applied by `supabase db push`: people's explanations, found by meaning inside the database.
--
-- The workbench does not need it: it searches all explanations, whoever wrote them, in its own index. This is for those
-- who ask the database of a shared server without one, over its REST interface or in SQL, for what people wrote. Run it in
-- the project's SQL editor after the migrations; then `python -m core embed --supabase`, with the project's secret key,
-- gives a vector to every explanation that has none or was changed. The order is the workbench's by meaning alone: by
-- cosine similarity to six digits, then by model, source, feature and id. Exact: there is no index over the vectors.

create extension if not exists vector with schema extensions;

create table public.explanation_vectors (
  explanation uuid not null references public.explanations (id) on delete cascade,
  embedder text not null check (char_length(embedder) between 1 and 200),
  hash text not null check (hash ~ '^[0-9a-f]{64}$'),
  embedding extensions.vector not null,
  primary key (explanation, embedder)
);
comment on column public.explanation_vectors.embedder is 'What made the vector: those of two embedders are never compared.';
comment on column public.explanation_vectors.hash is 'SHA-256 of the text that it is of: where that was changed, it is not found by it.';

alter table public.explanation_vectors enable row level security;
create policy explanation_vectors_read on public.explanation_vectors for select to anon, authenticated using (true);
grant select on public.explanation_vectors to anon, authenticated;
grant select, insert, update, delete on public.explanation_vectors to service_role;

create function public.find_explanations(
  query extensions.vector, made_by text, model text default null, sources text[] default null,
  most integer default 20, skip integer default 0
) returns table (
  id uuid, model_id text, source_id text, feature integer, "text" text, owner uuid, similarity double precision
)
  language sql stable security invoker set search_path = '' as
$$
  select e.id, e.model_id::text, e.source_id::text, e.feature::integer, e.text, e.owner,
    1 - (v.embedding operator(extensions.<=>) query)
  from public.explanations e
  join public.explanation_vectors v on v.explanation = e.id
  where v.embedder = made_by and e.hidden_at is null
    and v.hash = encode(sha256(convert_to(e.text, 'UTF8')), 'hex')
    and (model is null or e.model_id = model) and (sources is null or e.source_id = any (sources))
  order by round((1 - (v.embedding operator(extensions.<=>) query))::numeric, 6) desc,
    e.model_id::text collate "C", e.source_id::text collate "C", e.feature, e.id
  limit least(greatest(most, 0), 100) offset greatest(skip, 0)
$$;
grant execute on function public.find_explanations to anon, authenticated, service_role;
