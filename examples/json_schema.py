"""JSON Schema: read an event from a sentence, as JSON that a schema admits.

The schema is a constraint like any other: a mask over tokens, and what no mask can say is checked at the end. The
posterior is the model's own opinion among the valid documents, and `log_evidence` its price: how probable the model
finds it to write a valid document at all.

    python -m examples.json_schema
"""

from grammars import JsonSchema
from inference import SMC, infer, load
from ppl import program, sample

EVENT = JsonSchema(
    {
        "type": "object",
        "properties": {
            "what": {"enum": ["meeting", "concert", "lecture", "party"]},
            "city": {"type": "string", "pattern": "^[A-Z][a-z]+$", "maxLength": 12},
            "date": {"type": "string", "format": "date"},
            "guests": {"type": "integer", "minimum": 1, "maximum": 500},
        },
        "required": ["what", "city", "date", "guests"],
        "additionalProperties": False,
    }
)

PROMPT = """Each line of JSON describes the sentence above it.

On 3 May 2024 two hundred people came to Oslo to hear Bach.
{{"what": "concert", "city": "Oslo", "date": "2024-05-03", "guests": 200}}

Ann spoke about bees to thirty people in Turin on 21 January 2022.
{{"what": "lecture", "city": "Turin", "date": "2022-01-21", "guests": 30}}

{sentence}
"""

SENTENCE = "Forty students listened to Dr. Mora in Lisbon on 12 October 2023."

lm = load("smollm2")


@program
def event(sentence: str) -> dict[str, object]:
    return sample(lm(PROMPT.format(sentence=sentence), stop="\n", max_tokens=60), EVENT)


def main(particles: int = 16) -> None:
    posterior = infer(event(SENTENCE), SMC(particles), seed=0)
    print(SENTENCE, "\n")
    for document, probability in posterior.top(5):
        print(f"{probability:.3f}  {document}")
    in_lisbon = posterior.probability(lambda document: document["city"] == "Lisbon")
    print(f"\nP(city = Lisbon) = {in_lisbon:.3f}")
    print(f"log evidence {posterior.log_evidence:.1f} nats; {posterior.cost}")


if __name__ == "__main__":
    main()
