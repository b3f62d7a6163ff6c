"""Text to SQL: queries that run on a real database, and a posterior over what they return.

`SQL.from_connection` reads the tables of an open database. The grammar masks tokens, and SQLite itself says whether
the columns exist where they are used, while the query is written. Queries that are written differently and return
the same rows are one answer: their probabilities add up.

    python -m examples.text_to_sql
"""

import sqlite3

from grammars import SQL
from inference import SMC, infer, load
from ppl import memo, program, sample

DATABASE = sqlite3.connect(":memory:")
DATABASE.executescript(
    """
    CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, country TEXT, age INTEGER);
    CREATE TABLE concert (id INTEGER PRIMARY KEY, singer_id INTEGER REFERENCES singer, city TEXT, year INTEGER);
    INSERT INTO singer VALUES (1, 'Ann', 'France', 41), (2, 'Bo', 'Norway', 23), (3, 'Cy', 'France', 35);
    INSERT INTO concert VALUES (1, 1, 'Oslo', 2014), (2, 3, 'Lyon', 2015), (3, 3, 'Oslo', 2015);
    """
)

PROMPT = """Tables: singer(id, name, country, age), concert(id, singer_id, city, year)

Question: How many concerts were there?
SELECT count(*) FROM concert

Question: What are the cities of the concerts of 2014?
SELECT city FROM concert WHERE year = 2014

Question: Which countries do singers come from?
SELECT DISTINCT country FROM singer

Question: {question}
"""

QUESTION = "What are the names of the singers from France?"

lm = load("smollm2")


def rows(query: str) -> tuple[tuple[object, ...], ...]:
    return tuple(DATABASE.execute(query).fetchmany(5))


@program
def answer(question: str) -> tuple[str, tuple[tuple[object, ...], ...]]:
    text = lm(PROMPT.format(question=question), stop="\n", max_tokens=32)
    query = sample(text & SQL.from_connection(DATABASE))
    return query, memo(rows, query)


def main(particles: int = 16) -> None:
    print(QUESTION, "\n")
    posterior = infer(answer(QUESTION), SMC(particles), seed=0)
    for (query, found), probability in posterior.top(6):
        print(f"{probability:.3f}  {query}\n       {', '.join(map(str, found)) or 'no rows'}")
    right = posterior.probability(lambda pair: sorted(pair[1]) == [("Ann",), ("Cy",)])
    print(f"\nP(the answer is Ann and Cy) = {right:.3f}")
    print(f"log evidence {posterior.log_evidence:.1f} nats; {posterior.cost}")


if __name__ == "__main__":
    main()
