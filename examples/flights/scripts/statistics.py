# flights._table.flight.post.queued (python3): after a write, the carrier's delays are counted again, later.
if event.response.status_code < 300:
    for carrier in {row["carrier"] for row in event.request.payload.resource}:
        count = total = offset = 0
        while True:
            page = platform.api.get(
                "flights/_table/flight",
                {
                    "parameters": {
                        "fields": "dep_delay",
                        "filter": f"(carrier = '{carrier}') and (dep_delay is not null)",
                        "order": "id",
                        "limit": 1000,
                        "offset": offset,
                    }
                },
            )
            rows = page["content"]["resource"]
            count += len(rows)
            total += sum(row["dep_delay"] for row in rows)
            offset += 1000
            if len(rows) < 1000:
                break
        answer = platform.api.patch(
            f"flights/_table/carrier/{carrier}", {"flights": count, "mean_delay": round(total / max(count, 1), 3)}
        )
        if answer.status_code >= 300:
            raise Exception(answer.read())
        print(f"{carrier}: {count} flights, {total / max(count, 1):.2f} minutes late on average")
