"""What a recipe does to one document at a time: filters, masks, plug-ins, decontamination."""
