{%- extends 'base.tpl' -%}
{#- nbgrader 0.9.6's own asks for a file that is no longer there. -#}
{% set base_url = resources.base_url %}

{%- block title -%}
Not Found
{%- endblock -%}

{%- block body -%}
<div class="panel-body">
Submission notebook file not found: {{ resources.filename }}
</div>
{%- endblock -%}
