# The queued script service `late_report` (python3): the carriers by their mean delay, kept in the table `report`.
rows = platform.api.get("flights/_table/carrier?filter=flights>0&order=mean_delay desc")["content"]["resource"]
lines = [f"{row['name']}: {row['mean_delay']:.1f} minutes late, {row['flights']} flights" for row in rows]
title = (event.request.payload or {}).get("title", "Late carriers")
answer = platform.api.post("flights/_table/report", {"title": title, "body": "\n".join(lines)})
if answer.status_code >= 300:
    raise Exception(answer.read())
